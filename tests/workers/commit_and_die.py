"""Writes so many tasks to the outbox, and kills its own process at a moment: MOMENT KEY COUNT.

Run in the service's folder and environment. MOMENT is `before the commit`, `after the commit` (nothing is pushed then)
or `after the push` (of the first of them, whose row is still there).
"""

import asyncio
import os
import signal
import sys
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from app.core.database import open_session
from app.core.resources import open_resources
from app.core.task_outbox import enqueue_after_commit
from app.core.task_queue import TaskQueue
from app.models.users import User
from app.tasks import proof  # type: ignore[attr-defined]  # put there by the tests


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def push_and_die(queue: TaskQueue, new: Any) -> None:
    await enqueue(queue, new)
    die()


async def main(moment: str, key: str, count: int) -> None:
    async with open_resources(), open_session() as session, session.begin():
        session.add(User(email=key, name="commit_and_die"))
        for number in range(count):
            enqueue_after_commit(session, proof.start_and_wait, key=f"{key} {number}")
        await session.flush()
        if moment == "before the commit":
            die()
        if moment == "after the commit":
            event.listen(Session, "after_commit", die, insert=True)
        TaskQueue.enqueue = push_and_die  # type: ignore[method-assign,assignment]
        await session.commit()
        await asyncio.Event().wait()


enqueue = TaskQueue.enqueue
asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
