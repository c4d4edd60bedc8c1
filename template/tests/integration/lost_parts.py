"""A chord whose part is lost with its process when it has stored its result, and before it has done what comes then."""

import os
import signal
from pathlib import Path
from typing import Any

from celery import chord

from app.core.celery import celery_app
from app.core.task_base import BaseTask


@celery_app.task(name="test.lose_part", bind=True)
def lose_part(self: BaseTask[..., Any], *, moment: str, fails: bool, lost: str) -> None:
    raise self.replace(chord([part.si(moment=moment, fails=fails, lost=lost)], body.s()))


@celery_app.task(name="test.part_to_lose")
def part(*, moment: str, fails: bool, lost: str) -> str:
    if not Path(lost).exists():
        place: Any = {
            "the chord is told": (celery_app.backend, "on_chord_part_return"),
            "the body is claimed": (celery_app.backend, "_chord_claim_extend_script"),
            "the body is queued": (celery_app.amqp, "_retry_publish"),
        }[moment]
        holder, name = place
        setattr(holder, name, lambda *_, **__: die(lost))  # it goes with the process
    if fails:
        raise ValueError("the part failed")
    return "told"


def die(lost: str) -> None:
    Path(lost).touch()
    os.kill(os.getpid(), signal.SIGKILL)


@celery_app.task(name="test.body")
def body(told: list[str]) -> list[str]:
    return told
