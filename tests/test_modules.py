"""The rooms' borders in a service's Python: what is imported is there, and what is there is used.

The manifest takes away whole files. One that it forgets is found here even if it has no word of its room in it.
"""

import ast
import re
from pathlib import Path

FOUND_BY_A_WALK = ("app.api.routes.", "app.models.", "app.tasks.")
"""Packages whose modules need not be named anywhere."""
STARTED = {"app", "app.main"}


def test_each_module_that_is_imported_is_there(one_of_each_room: Path) -> None:
    there = modules(one_of_each_room)
    missing = [
        f"{path.relative_to(one_of_each_room)} imports {name}"
        for path in there.values()
        for name in imports(path)
        if name.split(".")[0] in {"app", "scripts", "tests"} and not resolves(name, there)
    ]
    assert not missing, "\n".join(missing)


def test_each_module_of_the_app_is_used(one_of_each_room: Path) -> None:
    there = modules(one_of_each_room)
    code = {name: path for name, path in there.items() if not name.startswith("tests.")}
    used = {used for name, path in code.items() for used in imports(path) if used != name}
    # in strings of Python, and in the files that start programs
    named = "\n".join(path.read_text() for path in [*code.values(), *one_of_each_room.glob("*.*")] if path.is_file())
    unused = [
        name
        for name, path in code.items()
        if name.startswith("app.")
        and path.name not in {"__init__.py", "__main__.py"}
        and not (name in used | STARTED or name.startswith(FOUND_BY_A_WALK))
        and not re.search(rf"{re.escape(name)}(:|\"|,|$)", named)
    ]
    assert not unused, "\n".join(unused)


def modules(service: Path) -> dict[str, Path]:
    """By dotted name."""
    files = (path.relative_to(service) for path in service.rglob("*.py"))
    return {".".join(file.with_suffix("").parts).removesuffix(".__init__"): service / file for file in files}


def imports(path: Path) -> set[str]:
    """Each module, and each name that may be one: of `from a import b` both a and a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def resolves(name: str, there: dict[str, Path]) -> bool:
    package, _, last = name.rpartition(".")
    if name in there or not package:
        return name in there
    # a name that a module, or a package in its __init__.py, defines
    return package in there and bool(re.search(rf"\b{last}\b", there[package].read_text()))
