"""The manifest, read as it lies in copier.yml: what belongs to which room."""

from typing import Any

import jinja2
import yaml
from rendering import ROOT

CONFIGURATION: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text())

QUESTIONS: dict[str, Any] = {
    name: question
    for name, question in CONFIGURATION.items()
    if not name.startswith("_") and question.get("when") is not False
}
"""What people are asked; the rest is computed."""


def choices(question: str) -> list[Any]:
    """All answers to a question; none where any text will do."""
    asked = QUESTIONS[question]
    given = asked.get("choices", [False, True] if asked["type"] == "bool" else [])
    return list(given.values() if isinstance(given, dict) else given)


def rooms(**answers: Any) -> dict[str, Any]:
    """The rooms by name, each with its files and whether it is on; `use_redis` is not always asked for."""
    text = jinja2.Template(CONFIGURATION["features"]["default"], undefined=jinja2.StrictUndefined).render(
        {"use_redis": True} | answers
    )
    return dict(yaml.safe_load(text))
