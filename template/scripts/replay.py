"""Queues all tasks that have failed once more, or those of one name: python -m scripts.replay [NAME].

Each is queued once, also where the command is stopped half-way and started again.
"""

import asyncio
import sys

from app.core.celery import celery_app
from app.core.resources import open_resources
from app.core.task_queue import NotReplayableError, task_queue
from app.core.task_state import TaskState

celery_app.loader.import_default_modules()


async def main(name: str | None) -> None:
    if name and name not in celery_app.tasks:
        raise SystemExit(f"There is no task {name!r}.")
    queued = 0
    async with open_resources():
        for task in await _failed(name):
            try:
                new = await task_queue.get().replay(task)
            except NotReplayableError as error:
                print(error)
            else:
                print(f"{task.name} {task.task_id}: queued anew as {new}")
                queued += 1
    print(f"{queued} tasks were queued anew.")


async def _failed(name: str | None) -> list[TaskState]:
    """The oldest first."""
    found: list[TaskState] = []
    after = None
    while True:
        page = await task_queue.get().list_tasks(None, status="FAILURE", name=name, limit=100, after=after)
        found += page.tasks
        after = page.next
        if after is None:
            return found[::-1]


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
