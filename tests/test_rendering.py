import configparser
import re
import tomllib
from pathlib import Path

import pytest
import rendering
import yaml
from manifest import rooms
from rendering import COMBINATIONS, empty_folders, git

WORDS = {
    "redis": r"redis",
    "celery": r"celery|kombu|(?<!over)flower|(?<![a-z])(brokers?|queues?|queued|workers?|beat|with_db_init)(?![a-z])",
    "postgresql": r"postgres|asyncpg",
}
NOT_READ = {"uv.lock", ".copier-answers.yml"}
"""Full of others' words; their own tests read them."""


class ComposeLoader(yaml.SafeLoader):
    """Knows Compose's own tags, which say how a list is merged."""


def _read_list(loader: ComposeLoader, node: yaml.SequenceNode) -> list[object]:
    return loader.construct_sequence(node)


ComposeLoader.add_constructor("!override", _read_list)


@pytest.fixture(scope="module", params=COMBINATIONS)
def combination(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def service(combination: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendering.render(tmp_path_factory.mktemp("mein schöner") / "service", **COMBINATIONS[combination])


def files(service: Path) -> dict[str, Path]:
    return {str(path.relative_to(service)): path for path in service.rglob("*") if path.is_file()}


def test_exactly_the_files_of_the_rooms_that_are_on_are_rendered(combination: str, service: Path) -> None:
    template = git(rendering.snapshot, "ls-files", "-z", "--", "template").split("\0")
    expected = {name.removeprefix("template/").removesuffix(".jinja") for name in template if name}
    for room in rooms(**COMBINATIONS[combination]).values():
        if not room["enabled"]:
            gone = tuple(f"{path}/" for path in room["files"])
            expected = {name for name in expected if not f"/{name}/".startswith(gone)}
    assert set(files(service)) == expected


def test_no_folder_is_left_empty(service: Path) -> None:
    assert not empty_folders(service)


def test_nothing_is_left_of_jinja(service: Path) -> None:
    for name, path in files(service).items():
        assert not re.search(r"\.jinja|[{}%]", name)
        # ${{ }} is GitHub's own; without a space, braces are those of Python's f-strings
        left = re.search(r"(?<!\$)\{\{-?\s|\{%|\{#|\.jinja", path.read_text())
        assert not left, f"{name}: {left}"


def test_no_room_that_is_off_is_spoken_of(combination: str, service: Path) -> None:
    off = {name for name, room in rooms(**COMBINATIONS[combination]).items() if not room["enabled"]} & set(WORDS)
    spoken_of = [
        f"{name}:{number}: {line.strip()}"
        for name, path in files(service).items()
        if name not in NOT_READ
        for room in off
        # the service works on PostgreSQL also where production is on SQLite, and its code says so
        if not (room == "postgresql" and name.startswith(("app/", "migrations/", "tests/")))
        for number, line in enumerate(f"{name}\n{path.read_text()}".splitlines())
        if re.search(WORDS[room], line, re.IGNORECASE)
    ]
    assert not spoken_of, "\n".join(spoken_of)


def test_each_configuration_file_can_be_read(service: Path) -> None:
    read = set()
    for name, path in files(service).items():
        if path.suffix in {".toml", ".lock"}:
            read.add(name)
            tomllib.loads(path.read_text())
        elif path.suffix in {".yml", ".yaml"}:
            read.add(name)
            assert yaml.load(path.read_text(), ComposeLoader)  # noqa: S506 (a safe loader)
        elif path.suffix == ".ini" or path.name == ".importlinter":
            read.add(name)
            configparser.ConfigParser().read_string(path.read_text())
    assert {"pyproject.toml", "uv.lock", ".copier-answers.yml", ".importlinter", "mypy.ini"} <= read


def test_each_file_looks_as_if_written_by_hand(service: Path) -> None:
    for name, path in files(service).items():
        text = path.read_text()
        spaces = re.search(r"[ \t]$", text, re.MULTILINE)
        assert not spaces, f"{name}: a space at the end of a line"
        blank_lines = re.search(r"\A\n|\n\n\n\n|\n\n\Z|[^\n]\Z", text)
        assert not blank_lines, f"{name}: a blank line too many, or no end of the last line"
