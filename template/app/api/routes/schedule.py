"""What beat queues by itself, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import maybe_schedule
from fastapi import APIRouter

from app.api.callers import CallerDep
from app.api.problems import problems
from app.core.celery import celery_app
from app.core.task_queue import task_queue
from app.schemas.tasks import ScheduleEntry

router = APIRouter(prefix="/api/v1/schedule", tags=["schedule"], responses=problems(401, 503))


@router.get("")
async def read_schedule(_caller: CallerDep) -> list[ScheduleEntry]:
    """What is queued by the clock, when it last was, and when it will be."""
    last_runs = await task_queue.get().last_runs()
    return [_entry(name, last_runs.get(name)) for name in celery_app.conf.beat_schedule]


def _entry(name: str, last_run: str | None) -> ScheduleEntry:
    entry = celery_app.conf.beat_schedule[name]
    schedule: Any = maybe_schedule(entry["schedule"], app=celery_app)
    now = datetime.now(UTC)
    last = datetime.fromisoformat(last_run) if last_run else None
    wait = max(schedule.remaining_estimate(last or now), timedelta(0))
    return ScheduleEntry(
        name=name,
        task=str(entry["task"]),
        schedule=str(schedule),
        last_run=last,
        next_run=(now + wait + timedelta(seconds=0.5)).replace(microsecond=0),
    )
