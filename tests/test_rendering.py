import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rendering
from configuration_files import read_configuration
from manifest import choices, rendered, rooms
from packaging.version import Version
from rendering import COMBINATIONS, OTHER_ANSWERS, copier_copy, empty_folders, git

WORDS = {
    "redis": r"redis",
    "celery": r"celery|kombu|(?<!over)flower|(?<![a-z])(brokers?|queues?|queued|workers?|beat|with_db_init)(?![a-z])",
    "postgresql": r"postgres|asyncpg",
    "examples": r"cookbook|recipe|smtp|mail_?(catcher|server)|mailpit|pillow|(?<![a-z])pil(?![a-z])|thumbnail|reportlab"
    r"|(?<![a-z])pdf(?![a-z])|payment|webhook|ephem(?!eral)|(?<![a-z])solar|msgpack|time_machine|notification"
    r"|user_sessions?|email_tokens?|stored_files|monthly_report|workflow_progress|single_run|upkeep|back_?up"
    r"|(?-i:FILES_)|/files(?![a-z])",
}
NOT_READ = {"uv.lock", ".copier-answers.yml"}
"""Full of others' words; their own tests read them."""
OWN_JINJA = "app/services/email_templates/"
"""The service's own templates, for its own e-mail: left as they are."""
IMPORTS = {
    "DEP002": ["aiosqlite", "asyncpg", "flower", "uvicorn"],  # named in addresses and commands
    "DEP003": [
        "email_validator",
        "kombu",
        "pydantic_core",
        "typing_extensions",
    ],  # come with celery and pydantic, in the version they want
    "DEP004": ["aiosmtpd", "fakeredis"],  # for `make dev`
}
"""What need not be declared and imported alike, by deptry's rule."""
EVERYWHERE = ["--exclude", "^$", "--ignore", "DEP002,DEP004"]
"""Tests too, which deptry passes over by itself: they may import what is there for development."""


CASES = [
    pytest.param(
        (combination, OTHER_ANSWERS[python] | {"python_version": python} | COMBINATIONS[combination]),
        marks=[] if row % len(OTHER_ANSWERS) == column else pytest.mark.slow,
        id=f"{combination}, Python {python}",
    )
    for row, combination in enumerate(COMBINATIONS)
    for column, python in enumerate(OTHER_ANSWERS)
]
"""Each combination of rooms with each of the other answers; the quick ones have each of both at least once."""


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    combination, answers = request.param
    return combination, answers


@pytest.fixture(scope="module")
def combination(case: tuple[str, dict[str, Any]]) -> str:
    return case[0]


@pytest.fixture(scope="module")
def answers(case: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return case[1]


@pytest.fixture(scope="module")
def service(answers: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mein schöner") / "service"
    subprocess.run(copier_copy(folder, "--defaults", "--quiet", **answers), check=True)
    return folder


def files(service: Path) -> dict[str, Path]:
    return {str(path.relative_to(service)): path for path in service.rglob("*") if path.is_file()}


def test_exactly_the_files_of_the_rooms_that_are_on_are_rendered(combination: str, service: Path) -> None:
    template = git(rendering.snapshot / "template", "ls-files", "-z").split("\0")[:-1]
    assert set(files(service)) == rendered(template, rooms(**COMBINATIONS[combination]))


def test_no_folder_is_left_empty(service: Path) -> None:
    assert not empty_folders(service)


def test_nothing_is_left_of_jinja(service: Path) -> None:
    for name, path in files(service).items():
        assert not re.search(r"\.jinja|[{}%]", name)
        if name.startswith(OWN_JINJA):
            continue
        # ${{ }} is GitHub's own
        left = re.search(r"(?<!\$)\{\{|\{%|\{#|\.jinja", path.read_text())
        assert not left, f"{name}: {left}"


def test_it_is_known_what_each_room_is_called() -> None:
    # the service works on SQLite in any case, and speaks of it
    assert set(WORDS) | {"sqlite"} == set(rooms(**COMBINATIONS["bare-sqlite"]))


def test_no_room_that_is_off_is_spoken_of(combination: str, service: Path) -> None:
    off = {name for name, room in rooms(**COMBINATIONS[combination]).items() if not room["enabled"]} & set(WORDS)
    spoken_of = [
        f"{name}:{number}: {line.strip()}"
        for name, path in files(service).items()
        if name not in NOT_READ
        for room in off
        # the service works on PostgreSQL also where production is on SQLite, and its code and recipes say so
        if not (room == "postgresql" and name.startswith(("app/", "docs/cookbook/", "migrations/", "tests/")))
        for number, line in enumerate(f"{name}\n{path.read_text()}".splitlines())
        if re.search(WORDS[room], line, re.IGNORECASE)
    ]
    assert not spoken_of, "\n".join(spoken_of)


def test_each_configuration_file_can_be_read(service: Path) -> None:
    read = read_configuration(service)
    assert {"pyproject.toml", "uv.lock", ".copier-answers.yml", ".importlinter", "mypy.ini"} <= set(read)
    assert all(read.values())


def test_all_agree_on_the_version_of_python(service: Path, answers: dict[str, Any]) -> None:
    version = answers["python_version"]
    assert (service / ".python-version").read_text() == f"{version}\n"
    assert set(re.findall(r"^FROM python:(\S+)", (service / "Dockerfile").read_text(), re.MULTILINE)) == {
        f"{version}-slim"
    }
    # the code and the lock are for every version that the question offers, so that a service may change its mind
    read = read_configuration(service)
    oldest = min(choices("python_version"), key=Version)
    assert read["pyproject.toml"]["project"]["requires-python"] == f">={oldest}"
    assert read["uv.lock"]["requires-python"] == f">={oldest}"
    assert read["ruff.toml"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert "python_version" not in read["mypy.ini"]["mypy"]


@pytest.mark.parametrize("options", [[], EVERYWHERE], ids=["service", "with its tests"])
def test_what_is_imported_is_declared_and_what_is_declared_is_imported(service: Path, options: list[str]) -> None:
    exceptions = ",".join(f"{rule}={'|'.join(names)}" for rule, names in IMPORTS.items())
    deptry = [sys.executable, "-m", "deptry", ".", "--no-ansi", "--per-rule-ignores", exceptions, *options]
    done = subprocess.run(deptry, cwd=service, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_file_looks_as_if_written_by_hand(service: Path) -> None:
    for name, path in files(service).items():
        text = path.read_text()
        spaces = re.search(r"[ \t]$", text, re.MULTILINE)
        assert not spaces, f"{name}: a space at the end of a line"
        blank_lines = re.search(r"\A\n|\n\n\n\n|\n\n\Z|[^\n]\Z", text)
        assert not blank_lines, f"{name}: a blank line too many, or no end of the last line"
