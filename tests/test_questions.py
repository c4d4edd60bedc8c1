import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from manifest import QUESTIONS
from rendering import copier_copy, render
from terminal import Terminal

TEXT = "printable characters, without"
SLUG = "lower-case letters and digits, in words joined by single dashes, a letter first"
TAKEN = "is the name of something that the service itself needs, or a word that machines keep for themselves"
CONTRADICTORY = "Celery needs Redis: type use_redis=true, or use_celery=false as well."
EXAMPLES_ALONE = "The examples need Celery: type use_celery=true, or use_examples=false as well."

HOSTILE_TEXTS = {
    "empty": "",
    "space before": " Shop",
    "space after": "Shop ",
    "line break": "Shop\nFloor",
    "tab": "Shop\tFloor",
    "NUL": "Shop\0",
    "escape": "\x1b[31mShop",
    "delete": "Shop\x7f",
    "zero-width space": "Shop\u200b",
    "right-to-left override": "Shop\u202egnp",
    "no-break space": "Shop\u00a0Floor",
    "line separator": "Shop\u2028Floor",
    "Jinja": "{{ 7 * 7 }}",
    "Jinja statement": "{% if x %}",
    "brace": "Shop }",
    "markup": "<b>Shop</b>",
    "double quote": 'The "Shop"',
    "backslash": "Shop\\",
    "backtick": "`id`",
    "shell": "$(id)",
    "variable": "$HOME",
    "too long": "x" * 201,
}
MALFORMED_SLUGS = [
    *("", "a", "a" * 41, "Shop", "my_shop", "my.shop", "my shop", "shop ", "../shop", "..", "/shop", "1shop", "42"),
    *("-shop", "shop-", "my--shop", "shöp", "shop\n", "shop\nfloor", "shop;id", "{{shop}}", "shop#1", "~", "--help"),
]
TAKEN_SLUGS = ["yes", "null", "con", "lpt9", "postgres", "app", "tests", "fastapi", "celery", "redis", "pillow"]
BAD_ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    **{f"name: {kind}": ({"project_name": bad, "project_slug": "shop"}, TEXT) for kind, bad in HOSTILE_TEXTS.items()},
    "description: line break": ({"project_description": HOSTILE_TEXTS["line break"]}, TEXT),
    "description: Jinja": ({"project_description": HOSTILE_TEXTS["Jinja"]}, TEXT),
    "description: too long": ({"project_description": "x" * 201}, TEXT),
    "name of 61 characters": ({"project_name": "x" * 61, "project_slug": "shop"}, "Type 1 to 60 printable"),
    "name without a letter for the slug": ({"project_name": "магазин"}, SLUG),
    **{f"slug: {slug!r}": ({"project_slug": slug}, SLUG) for slug in MALFORMED_SLUGS},
    **{f"slug: {slug}": ({"project_slug": slug}, TAKEN) for slug in TAKEN_SLUGS},
    "old Python": ({"python_version": "3.10"}, "'3.10' is not in ['3.11',"),
    "no Python": ({"python_version": "snake"}, "'snake' is not in ['3.11',"),
    "unknown database": ({"database": "mysql"}, "'mysql' is not in ['postgresql', 'sqlite']"),
    "Celery without Redis": ({"use_celery": True, "use_redis": False}, CONTRADICTORY),
    "no Redis, Celery by default": ({"use_redis": False}, CONTRADICTORY),
    "maybe Celery": ({"use_celery": "maybe"}, "Type use_celery=true or use_celery=false."),
    "maybe Redis": ({"use_celery": False, "use_redis": "maybe"}, "Type use_redis=true or use_redis=false."),
    "examples without Celery": ({"use_celery": False, "use_redis": True, "use_examples": True}, EXAMPLES_ALONE),
    "maybe examples": ({"use_examples": "maybe"}, "Type use_examples=true or use_examples=false."),
    "Celery: nothing": ({"use_celery": ""}, "Type use_celery=true or use_celery=false."),
    "mistyped question": ({"use_celry": False}, 'There is no question "use_celry"; the questions are project_name'),
    "what is computed": ({"features": "{}"}, 'There is no question "features"; the questions are project_name'),
    "whether it is new": ({"is_new": True}, 'There is no question "is_new"; the questions are project_name'),
}
ON_THE_COMMAND_LINE = [  # one of each kind is enough, at half a second each
    *("name: markup", "description: line break", "slug: '../shop'", "slug: celery", "old Python", "unknown database"),
    *("Celery without Redis", "no Redis, Celery by default", "maybe Celery", "maybe Redis", "mistyped question"),
    *("examples without Celery", "maybe examples"),
    "what is computed",
]
DESTINATION = "mein schöner service"
pytestmark = pytest.mark.usefixtures("jinja_alone")


@pytest.mark.parametrize(("answers", "sentence"), BAD_ANSWERS.values(), ids=[ascii(key) for key in BAD_ANSWERS])
def test_a_bad_answer_is_refused_with_one_sentence_and_nothing_is_written(
    tmp_path: Path, answers: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        render(tmp_path / DESTINATION, **answers)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ON_THE_COMMAND_LINE)
def test_a_bad_answer_on_the_command_line_is_refused_just_so(tmp_path: Path, kind: str) -> None:
    answers, sentence = BAD_ANSWERS[kind]
    done = subprocess.run(
        copier_copy(tmp_path / DESTINATION, "--defaults", **answers), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert sentence in done.stderr.strip().splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "slug"), [("My Service", "my-service"), ("Zoë's Café", "zo-s-caf"), ("7 Shops!", "shops")]
)
def test_the_slug_is_made_from_the_name_where_nobody_gave_one(tmp_path: Path, name: str, slug: str) -> None:
    service = render(tmp_path / DESTINATION, project_name=name)
    assert tomllib.loads((service / "pyproject.toml").read_text())["project"]["name"] == slug


def test_the_sentence_about_an_unknown_question_names_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no question") as refusal:
        render(tmp_path / DESTINATION, use_celry=False, use_rabbit=True)
    sentence = f'There is no question "use_celry"; the questions are {", ".join(QUESTIONS)}.'
    assert str(refusal.value).endswith(f": {sentence}")


def test_a_name_that_is_taken_is_refused_also_where_nobody_typed_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='"packaging" is the name of something that the service itself needs'):
        render(tmp_path / DESTINATION, project_name="Packaging")
    assert not list(tmp_path.iterdir())


def test_a_copy_on_the_command_line_needs_no_trust(tmp_path: Path) -> None:
    done = subprocess.run(
        copier_copy(tmp_path / DESTINATION, "--defaults"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"cd '{tmp_path / DESTINATION}'" in done.stderr
    assert (tmp_path / DESTINATION / "Makefile").exists()


@pytest.mark.parametrize(
    ("celery", "question", "asked", "not_asked"),
    [
        ("y", "use_examples", "A cookbook", "A cache in Redis"),
        ("n", "use_redis", "A cache in Redis", "A cookbook"),
    ],
)
def test_redis_is_asked_for_only_where_celery_does_not_bring_it_and_examples_only_where_there_is_celery(
    tmp_path: Path, celery: str, question: str, asked: str, not_asked: str
) -> None:
    given = {"project_name": "Shop", "project_slug": "shop", "project_description": "Sells.", "database": "sqlite"}
    with Terminal(copier_copy(tmp_path / DESTINATION, python_version="3.11", **given)) as terminal:
        terminal.wait_for("Background work with Celery")
        terminal.type(celery)
        terminal.wait_for(asked)
        terminal.type("n")
        terminal.wait_for("is ready. Next:")
    assert not_asked not in terminal.seen
    answers = yaml.safe_load((tmp_path / DESTINATION / ".copier-answers.yml").read_text())
    rooms = {name: answer for name, answer in answers.items() if name.startswith("use_")}
    assert rooms == {"use_celery": celery == "y", question: False}
