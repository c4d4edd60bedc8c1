"""Tasks to look at; the tests of the page put this file into a service's app/tasks/."""

import time
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from app.core.celery import celery_app
from app.core.task_base import BaseTask

MARKUP = "<img src=nothing onerror=\"document.title='broken into'\"><b>bold</b>"


@celery_app.task(name="shown.steps", bind=True, exposed=True)
def steps(self: BaseTask[..., Any], *, script: str) -> str:
    """Do what the last line of a file says: `3 10 a message`, `fail`, `end`."""
    while not self.is_aborted():
        line = Path(script).read_text().rpartition("\n")[0].rpartition("\n")[2]
        if line == "end":
            return "all was said"
        if line == "fail":
            raise ValueError("it says so")
        if line:
            current, total, message = line.split(" ", 2)
            self.report_progress(int(current), int(total), message)
        time.sleep(0.05)
    return "stopped"


@celery_app.task(name="shown.markup", exposed=True)
def markup(*, fail: bool = False) -> dict[str, str]:
    """Tells what a browser could take for more than text."""
    if fail:
        raise ValueError(MARKUP)
    return {"told": MARKUP}


@celery_app.task(name="shown.arguments", exposed=True)
def arguments(
    *,
    text: Annotated[str, Field(min_length=2)],
    whole: Annotated[int, Field(ge=1, le=5)] = 3,
    part: float | None = None,
    loud: bool = False,
    colour: Literal["red", "blue"] = "red",
    numbers: Annotated[list[int], Field(description="Some of them.")] = [],  # noqa: B006 (the API copies it)
) -> dict[str, Any]:
    return {"text": text, "whole": whole, "part": part, "loud": loud, "colour": colour, "numbers": numbers}
