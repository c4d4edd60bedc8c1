"""Writes down what is rendered: docs/reference/files.md, and the table of counts in README.md. `make reference`."""

import ast
import re
from collections import defaultdict

from manifest import belongs, rooms
from rendering import COMBINATIONS, ROOT, list_files

PAGE = ROOT / "docs" / "reference" / "files.md"
README = ROOT / "README.md"
COUNTED = {
    "neither": "bare-postgresql",
    "Redis": "redis-postgresql",
    "Celery and Redis": "celery-postgresql",
    "all, with the cookbook": "examples-postgresql",
}
"""By its name in README.md, a combination."""
BLANK_LINE = "\n\n"
INTRODUCTION = """\
# Files

What is rendered, by the rooms that must be on for it, each with the sentence by which it begins. `make reference` wrote
this page.

| Combination | Files |
|---|---|
"""


def files() -> dict[str, frozenset[str]]:
    """By file of a service, the rooms that must be on for it."""
    paths = [name.removeprefix("template/") for name in list_files("template")]
    everything = rooms(**COMBINATIONS["examples-postgresql"])
    return {
        path: frozenset(name for name, room in everything.items() if belongs(path.removesuffix(".jinja"), room))
        for path in paths
    }


def rendered(combination: str) -> list[str]:
    on = {room for room, content in rooms(**COMBINATIONS[combination]).items() if content["enabled"]}
    return [path for path, needs in files().items() if needs <= on]


def count(combination: str) -> tuple[int, int, int]:
    """Files of Python that are not empty, lines in them, and how many of these are tests."""
    texts = {path: (ROOT / "template" / path).read_text() for path in rendered(combination) if path.endswith(".py")}
    lines = {path: len(text.splitlines()) for path, text in texts.items() if text}
    return len(lines), sum(lines.values()), sum(number for path, number in lines.items() if path.startswith("tests/"))


def describe(path: str) -> str:
    name = f"- `{path.removesuffix('.jinja')}`"
    if path.endswith(".py") and (text := ast.get_docstring(ast.parse((ROOT / "template" / path).read_text()))):
        return f"{name}: {' '.join(text.split(BLANK_LINE)[0].split())}"
    return name


def page() -> str:
    by_rooms: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for path, needs in files().items():
        by_rooms[tuple(sorted(needs))].append(describe(path))
    parts = [INTRODUCTION + "".join(f"| {name} | {len(rendered(name))} |\n" for name in COMBINATIONS)]
    for group in sorted(by_rooms, key=lambda group: (len(group), group)):
        title = f"With {' and '.join(group)}" if group else "In every service"
        parts.append("\n".join([f"## {title}", "", *by_rooms[group], ""]))
    return "\n".join(parts)


def row(name: str) -> str:
    number, lines, tests = count(COUNTED[name])
    return f"| {name} | {number} | {round(lines, -1):,} | {round(tests, -1):,} |"


def main() -> None:
    PAGE.write_text(page())
    text = README.read_text()
    for name in COUNTED:
        text = re.sub(rf"^\| {name} \| \d.*$", row(name), text, flags=re.MULTILINE)
    README.write_text(text)


if __name__ == "__main__":
    main()
