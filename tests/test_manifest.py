import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from manifest import CONFIGURATION, QUESTIONS, choices, rooms
from rendering import COMBINATIONS, OTHER_ANSWERS, ROOT, render

ALL_ROOMS = rooms(**COMBINATIONS["examples-postgresql"])
JINJA_FILES = {
    ".copier-answers.yml.jinja",
    ".importlinter.jinja",
    ".python-version.jinja",
    ".github/workflows/check.yml.jinja",
    "Dockerfile.jinja",
    "Makefile.jinja",
    "Procfile.jinja",
    "README.md.jinja",
    "docker-compose.override.yml.jinja",
    "docker-compose.yml.jinja",
    "pyproject.toml.jinja",
    "secret/.env.development.jinja",
    "secret/.env.production.example.jinja",
    "secret/.env.production.jinja",
    "uv.lock.jinja",
}


def enabled(answers: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name, room in rooms(**answers).items() if room["enabled"])


def test_each_set_of_rooms_that_the_answers_allow_is_a_combination_of_the_suite() -> None:
    few = {question: choices(question) for question in QUESTIONS if choices(question)}
    possible = {enabled(dict(zip(few, answers, strict=True))) for answers in product(*few.values())}
    covered = [enabled(answers) for answers in COMBINATIONS.values()]
    lacking = possible - set(covered)
    assert not lacking, f"ROOMS and DATABASES in tests/rendering.py make no service with {sorted(lacking)}"
    assert len(covered) == len(possible), "two of COMBINATIONS in tests/rendering.py turn on the same rooms"
    for room in ALL_ROOMS:
        assert {room in names for names in covered} == {True, False}, f"{room} is never off, or never on"


@pytest.mark.parametrize("question", QUESTIONS)
def test_each_answer_to_a_question_is_given_in_some_combination(question: str) -> None:
    everywhere = [*COMBINATIONS.values(), *(other | {"python_version": it} for it, other in OTHER_ANSWERS.items())]
    given = {answers[question] for answers in everywhere if question in answers}
    assert given, f"{question} is left at its default wherever the suite renders"
    assert given >= set(choices(question)), f"{question}: {set(choices(question)) - given}"


@pytest.mark.parametrize("room", ALL_ROOMS)
def test_what_the_manifest_names_is_there(room: str) -> None:
    template = ROOT / "template"
    for path in ALL_ROOMS[room]["files"]:
        assert (template / path.lstrip("/")).exists() or (template / f"{path.lstrip('/')}.jinja").exists(), path


@pytest.mark.parametrize("room", ALL_ROOMS)
def test_a_path_in_the_manifest_can_match_nothing_but_itself(room: str) -> None:
    files = ALL_ROOMS[room]["files"]
    assert files == sorted(set(files))
    # `redis.py` would match in any folder; `/app/tasks/` would leave the folder, empty; `*` would match what is to come
    assert not [path for path in files if not path.startswith("/") or path.endswith("/") or set(path) & set("*?[!\\")]


def test_nothing_in_the_configuration_needs_trust() -> None:
    assert not {"_tasks", "_jinja_extensions", "_migrations"} & set(CONFIGURATION)


def test_jinja_is_only_where_a_value_must_be_written() -> None:
    template = ROOT / "template"
    files = {str(path.relative_to(template)) for path in template.rglob("*.jinja") if ".venv" not in path.parts}
    assert files == JINJA_FILES


@pytest.mark.usefixtures("jinja_alone")
def test_the_development_environment_holds_what_the_service_depends_on(tmp_path: Path) -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    needed: set[str] = set()
    for name in ("examples-postgresql", "examples-sqlite"):
        service = tomllib.loads((render(tmp_path / name, **COMBINATIONS[name]) / "pyproject.toml").read_text())
        needed |= {*service["project"]["dependencies"], *service["dependency-groups"]["dev"]}
    assert set(groups["service"]) == needed - set(groups["dev"])
