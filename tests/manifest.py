"""The manifest, read as it lies in copier.yml: what belongs to which room."""

from collections.abc import Iterable
from typing import Any

import jinja2
import yaml
from rendering import ROOT

CONFIGURATION: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text())


def questions(configuration: dict[str, Any]) -> dict[str, Any]:
    """What people are asked; the rest is computed."""
    return {
        name: question
        for name, question in configuration.items()
        if not name.startswith("_") and question.get("when") is not False
    }


QUESTIONS = questions(CONFIGURATION)


def choices(question: str) -> list[Any]:
    """All answers to a question; none where any text will do."""
    asked = QUESTIONS[question]
    given = asked.get("choices", [False, True] if asked["type"] == "bool" else [])
    return list(given.values() if isinstance(given, dict) else given)


def rooms(configuration: dict[str, Any] = CONFIGURATION, /, **answers: Any) -> dict[str, Any]:
    """The rooms by name, each with its files and whether it is on; `use_redis` is not always asked for."""
    text = jinja2.Template(configuration["features"]["default"], undefined=jinja2.StrictUndefined).render(
        {"use_redis": True} | answers
    )
    return dict(yaml.safe_load(text))


def belongs(file: str, room: dict[str, Any]) -> bool:
    return f"/{file}/".startswith(tuple(f"{path}/" for path in room["files"]))


def rendered(template: Iterable[str], rooms: dict[str, Any]) -> set[str]:
    """The files of a service with these rooms; `template` has the names of those in template/."""
    off = [room for room in rooms.values() if not room["enabled"]]
    names = {name.removesuffix(".jinja") for name in template}
    return {name for name in names if not any(belongs(name, room) for room in off)}
