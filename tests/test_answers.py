"""Whatever is answered is refused with one sentence and nothing written, or renders into a service that works."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from configuration_files import read_configuration
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from manifest import QUESTIONS, choices
from rendering import render, run

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=70)  # lone surrogates too
MEANS_SOMETHING = [
    *("é", "本", "🚀", "a", " ", "\t", "\n", "\r", "\0", *"'\"\\`$#:;,.!?&*|>-+=%@~^()[]{}<>/"),
    *("{{", "}}", "{%", "%}", "{#", "#}", "${", "$(", "${{", "%(x)s", "%s", ": ", " #", "- ", "---", "...", "<<: "),
    *("!!", "[[", "]]", "'''", '"""', "\\n", "\\x00", "&a", "*a", "null", "yes", "1e3", "0x1", "export ", "EOF"),
]
"""Characters and words that are more than text to TOML, YAML, env files, INI files, shells or Jinja."""
SPECIAL_TEXT = st.lists(st.sampled_from(MEANS_SOMETHING), max_size=12).map("".join)
LONG_TEXT = st.builds(str.__mul__, st.sampled_from("aé本🚀 "), st.integers(58, 62) | st.integers(198, 202))
TEXT = ANY_TEXT | SPECIAL_TEXT | LONG_TEXT
NEARLY_A_SLUG = st.from_regex(r"\A[a-zA-Z0-9_.-]{0,3}[a-z0-9]*([-_.]{0,2}[a-z0-9]+){0,3}[-_.\n]?\Z") | st.from_regex(
    r"\A[a-z]{1,3}(-[a-z0-9]{1,19}){1,3}\Z"
)
TOGGLE = st.sampled_from(
    [
        *("true", "True", "TRUE", "yes", "Y", "on", "ON", "1", "t"),
        *("false", "no", "n", "off", "0", "f", "~", "null", "maybe"),
    ]
)
NO_TEXT = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.lists(st.just("a"), max_size=1) | st.just({"a": 1})
)

ANSWERS: dict[str, st.SearchStrategy[Any]] = {
    "project_name": TEXT | NO_TEXT,
    "project_slug": NEARLY_A_SLUG | TEXT | NO_TEXT,
    "project_description": TEXT | NO_TEXT,
    "python_version": st.sampled_from([*choices("python_version"), "3", "3.1", "3.11.1", " 3.11"]) | TEXT | NO_TEXT,
    "database": st.sampled_from([*choices("database"), "PostgreSQL", "postgres", "SQLite"]) | TEXT | NO_TEXT,
    "use_celery": TOGGLE | TEXT | NO_TEXT,
    "use_redis": TOGGLE | TEXT | NO_TEXT,
    "use_examples": TOGGLE | TEXT | NO_TEXT,
}
MISTYPED = st.sampled_from(["use_celry", "projectname", "PROJECT_NAME", "use_celery ", "features", "is_new"]) | TEXT

GOOD_TEXT = TEXT.map(lambda text: re.sub(r'[{}<>`$"\\]', "", text).strip()[:60].strip()).filter(
    lambda text: text.isprintable() and text != ""
)
GOOD_ANSWERS = st.fixed_dictionaries(
    {
        "project_name": GOOD_TEXT,
        "project_slug": st.from_regex(r"\A[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,9}){2,3}\Z"),
        "project_description": st.lists(GOOD_TEXT, min_size=1, max_size=3).map(" ".join),
        "python_version": st.sampled_from(choices("python_version")),
        "database": st.sampled_from(choices("database")),
    },
    optional=dict.fromkeys(("use_celery", "use_examples"), st.booleans() | st.sampled_from(["yes", "No", "ON", "0"])),
).filter(lambda answers: is_on(answers, "use_celery") or "use_examples" not in answers)

Test = Callable[..., None]
ONE_SENTENCE = re.compile(
    r"""\AValidation[ ]error[ ]for[ ]question[ ]'\w+':[ ][A-Z"].+\.\Z  # ours
    | \AInvalid[ ]choice[ ]for[ ]'\w+':[ ].+[ ]is[ ]not[ ]in[ ]\[.+\]\Z  # Copier's
    | \AInvalid[ ]answer[ ]"None"[ ]of[ ]type[ ].+[ ]to[ ]question[ ]"\w+"
    | \ACould[ ]not[ ]convert[ ].+[ ]to[ ]string\Z""",
    re.VERBOSE,
)


def by_chance(examples: int, *, seeded: bool) -> settings:
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
    seeded = seeded or settings().derandomize  # as in CI
    return settings(max_examples=examples, derandomize=seeded, deadline=None, suppress_health_check=checks)


def named(name: str, description: str) -> Callable[[Test], Test]:
    decorator: Callable[[Test], Test] = example(
        answers={"project_name": name, "project_slug": "shop", "project_description": description}
    )
    return decorator


def test_chance_answers_each_question() -> None:
    assert list(ANSWERS) == list(QUESTIONS)


@pytest.mark.usefixtures("jinja_alone")
@by_chance(25, seeded=True)
@given(answers=st.fixed_dictionaries({}, optional=ANSWERS))
def test_an_answer_is_refused_with_one_sentence_or_arrives_as_it_was_typed(answers: dict[str, Any]) -> None:
    refused_or_as_typed(answers)


@pytest.mark.usefixtures("jinja_alone")
@pytest.mark.slow
@by_chance(300, seeded=False)
@given(answers=st.fixed_dictionaries({}, optional=ANSWERS))
def test_many_answers_are_refused_with_one_sentence_or_arrive_as_they_were_typed(answers: dict[str, Any]) -> None:
    refused_or_as_typed(answers)


@pytest.mark.usefixtures("jinja_alone")
@pytest.mark.parametrize("question", ANSWERS)
def test_an_answer_to_one_question_alone_is_refused_or_arrives(question: str) -> None:
    @by_chance(10, seeded=True)
    @given(answer=ANSWERS[question])
    def property_of_one(answer: Any) -> None:
        refused_or_as_typed({question: answer})

    property_of_one()


@pytest.mark.usefixtures("jinja_alone")
@by_chance(20, seeded=True)
@given(question=MISTYPED, answer=TOGGLE)
def test_a_question_that_there_is_not_is_refused(question: str, answer: str) -> None:
    if question not in QUESTIONS and not question.startswith("_"):
        with tempfile.TemporaryDirectory() as folder:
            with pytest.raises(ValueError, match="There is no question") as refusal:
                render(Path(folder) / "service", **{question: answer})
            assert ONE_SENTENCE.search(str(refusal.value))
            assert not list(Path(folder).iterdir())


@pytest.mark.usefixtures("jinja_alone")
@by_chance(5, seeded=True)
@given(answers=GOOD_ANSWERS)
@named("Zoë's Café #1", "日本語のサービス")
@named("Shop: Floor", "- Shop")
@named("# Shop", "[Shop]")
@named("!Shop", "&Shop *Shop")
@named("@Shop", "%Shop %(s)s")
@named("'", "Shop | Floor")
@named("null", "2026-11-20")
@named("a=b; c", "🚀 خدمة")
def test_a_good_answer_is_not_refused(answers: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert_as_typed(render(Path(folder) / "service", **answers), answers)


def test_the_title_of_the_api_is_the_name_as_it_was_typed() -> None:
    assert_it_starts_under_its_name({"project_name": "Zoë's 'Café' #1 & = : % ; 本 🚀", "project_slug": "shop"})


@pytest.mark.slow
@by_chance(12, seeded=False)
@given(answers=GOOD_ANSWERS)
def test_services_of_many_names_start_under_them(answers: dict[str, Any]) -> None:
    assert_it_starts_under_its_name(answers)


def is_on(answers: dict[str, Any], question: str) -> bool:
    return str(answers.get(question, True)).lower() in {"true", "yes", "y", "on", "1"}


def refused_or_as_typed(answers: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            service = render(Path(folder) / "service", **answers)
        except (ValueError, TypeError) as refusal:
            sentence = str(refusal)
        else:
            assert_as_typed(service, answers)
            return
        assert ONE_SENTENCE.search(sentence), ascii(sentence)
        assert not list(Path(folder).iterdir())


def assert_as_typed(service: Path, answers: dict[str, Any]) -> None:
    read = read_configuration(service)
    stored = read[".copier-answers.yml"]
    for question in ("project_name", "project_slug", "project_description"):
        assert stored[question] == str(answers.get(question, stored[question]))
    name, slug, description = stored["project_name"], stored["project_slug"], stored["project_description"]
    project = read["pyproject.toml"]["project"]
    assert (project["name"], project["description"]) == (slug, description)
    assert (service / "README.md").read_text().startswith(f"# {name}\n\n{description}\n\n")
    for environment in ("development", "production", "production.example"):
        assert read[f"secret/.env.{environment}"]["APP_NAME"] == name
    services = read["docker-compose.yml"]["services"]
    assert services["api"]["image"] == slug
    assert ("worker" in services) == stored["use_celery"] == is_on(answers, "use_celery")
    examples = stored["use_celery"] and is_on(answers, "use_examples")
    assert ("SMTP_HOST" in read["secret/.env.development"]) == stored.get("use_examples", False) == examples
    if "postgres" in services:
        assert services["postgres"]["environment"]["POSTGRES_DB"] == slug
        assert read["secret/.env.production"]["DATABASE_URL"].endswith(f"@postgres:5432/{slug}")
    run(service, "uv", "lock", "--check", "--offline", "--quiet")


def assert_it_starts_under_its_name(answers: dict[str, Any]) -> None:
    title = "from app.main import app; print(ascii(app.openapi()['info']['title']))"
    with tempfile.TemporaryDirectory() as folder:
        service = render(Path(folder) / "mein schöner service", **answers)
        assert_as_typed(service, answers)
        run(service, "python", "-m", "scripts.make_secrets")
        for environment in ("development", "production"):
            said = run(service, "python", "-c", title, APP_ENV=environment)
            assert said.splitlines()[-1] == ascii(answers["project_name"])
