"""Queues a task for a caller, and tells where it can be followed."""

from uuid import UUID

from fastapi import HTTPException, Response, status

from app.core.config.task_api import get_task_api_settings
from app.core.task_message import NewTask
from app.core.task_publishers import NO_CLAIM, Claim
from app.core.task_queue import TooManyTasksError, task_queue
from app.schemas.tasks import QueuedTask

TASKS = "/api/v1/tasks"


async def enqueue(new: NewTask, response: Response, *, claim: Claim = NO_CLAIM) -> QueuedTask:
    """What a 202 holds. Refuses one more than the caller may have unfinished."""
    limit = get_task_api_settings().unfinished_limit
    try:
        task_id = await task_queue.get().enqueue(new, claim=claim, limit=limit)
    except TooManyTasksError:
        detail = f"You have {limit} unfinished tasks, which is the most; wait until some of them have ended."
        headers = {"Retry-After": "5"}
        raise HTTPException(status.HTTP_429_TOO_MANY_REQUESTS, detail, headers) from None
    return queued(response, task_id, new.task.name)


def queued(response: Response, task_id: str, name: str) -> QueuedTask:
    """What a 202 holds of a task that is queued already."""
    response.headers["Location"] = f"{TASKS}/{task_id}"
    return QueuedTask(task_id=UUID(task_id), name=name)
