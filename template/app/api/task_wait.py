"""Long polls: an answer that waits for the end of a task, as long as its client does."""

import asyncio
from contextlib import aclosing
from typing import Annotated

from fastapi import Query, Request

from app.core.config.task_api import get_task_api_settings
from app.core.task_queue import task_queue
from app.core.task_state import TaskState

Wait = Annotated[
    float | None,
    Query(
        gt=0,
        le=get_task_api_settings().longest_wait,
        allow_inf_nan=False,
        description="Seconds to wait for the end of the task; the answer comes at once when it has ended.",
    ),
]


async def wait_for_end(request: Request, task: TaskState, seconds: float) -> TaskState:
    """The task as it ended, or as it stands when the time is over; UnavailableError where that is not known then."""
    ending, leaving = asyncio.ensure_future(_follow(task)), asyncio.ensure_future(_leave(request))
    try:
        await asyncio.wait({ending, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ending.cancel()
        leaving.cancel()
    if leaving.done():
        return task
    last = ending.result() if ending.done() else task
    return last if last.finished else await task_queue.get().find(task.task_id) or last


async def _follow(task: TaskState) -> TaskState:
    async with aclosing(task_queue.get().follow(task)) as course:
        async for state in course:
            task = state
    return task


async def _leave(request: Request) -> None:
    """Until the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
