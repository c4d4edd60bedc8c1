"""Workflows of every shape, whose parts do what a test asks of them."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from celery import chain, group

from app.core.celery import celery_app
from app.core.task_base import BaseTask
from app.core.workflow_progress import begin_workflow, finish_part

SHAPES: dict[str, list[Any]] = {
    "one": ["a"],
    "chain": ["a", "b", "c"],
    "group": [["a", "b", "c"]],
    "chord": [["a", "b"], "c"],
    "chain in a chord": [[["a", "b"], "c"], "d"],
    "chord in a chain": ["a", ["b", "c"], "d"],
    "chord that ends in a chain": [["a", "b"], "c", "d"],
    "group at the end": ["a", ["b", "c"]],
}
"""Lists are chains, and those in them groups, and those in them chains again."""


@celery_app.task(name="test.workflow", bind=True)
def workflow(self: BaseTask[..., Any], *, shape: str, acts: dict[str, str], folder: str) -> None:
    steps = [
        group(chain(*(sign(part, acts, folder) for part in branch)) for branch in step)
        if isinstance(step, list)
        else sign(step, acts, folder)
        for step in SHAPES[shape]
    ]
    begin_workflow(self, len(names(shape)))
    raise self.replace(chain(*steps) if len(steps) > 1 else steps[0])


def names(shape: str) -> str:
    return "".join(character for character in str(SHAPES[shape]) if character in "abcd")


def sign(name: str, acts: dict[str, str], folder: str) -> Any:
    return part.si(name=name, act=acts.get(name, ""), folder=folder)


@celery_app.task(name="test.part", bind=True, max_retries=1)
def part(self: BaseTask[..., Any], *, name: str, act: str, folder: str) -> str:
    started = Path(folder, name)
    again = started.exists()
    started.touch()
    if "wait" in act:
        while not Path(folder, "go on").exists():
            time.sleep(0.01)
            if self.is_aborted():
                Path(folder, f"{name} stopped").touch()
                return "stopped"
    if "die" in act and not again:
        os.kill(os.getpid(), signal.SIGKILL)
    if "kill" in act and not again:
        for process in (os.getppid(), os.getpid()):
            os.kill(process, signal.SIGKILL)
    if "retry" in act and not self.request.retries:
        raise self.retry(countdown=0)
    if "fail" in act and not ("once" in act and again):
        raise ValueError(f"{name} failed")
    finish_part(self, name)
    return name
