"""The outbox: a task that is queued if, and only if, a transaction of the database is committed.

Its entry is a row that the transaction writes. A transaction of its own, right after the commit or in the relay's next
run, takes the row under a lock, pushes the task, and deletes the row. Whoever pushes sees committed rows only, so
nothing is sent before the commit, whatever becomes of sessions and savepoints; and a crash at any point leaves the row,
and the task is pushed again under the same id.
"""

import asyncio
import contextvars
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from asgi_correlation_id import correlation_id
from sqlalchemy import ColumnElement, delete, event, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from app.core.celery import celery_app
from app.core.database import open_session
from app.core.resources import UnavailableError
from app.core.task_arguments import ArgumentsError
from app.core.task_base import BaseTask
from app.core.task_message import NewTask
from app.core.task_outbox_entry import OutboxEntry
from app.core.task_owner import owner
from app.core.task_queue import task_queue

logger = structlog.stdlib.get_logger(__name__)

BATCH = 100
"""Entries that are taken in one transaction."""
RELAY_AFTER = timedelta(seconds=5)
"""How long the push right after the commit has; from then on the relay takes care."""
TRY_AGAIN_AFTER = timedelta(hours=1)
"""For an entry that cannot be pushed: a worker that knows its task may be on its way."""
RELAY_SECONDS = 30.0
"""After which a run of the relay takes no further batch."""

_WRITTEN = "task_outbox"
"""In a session's `info`: the ids that its transaction has written."""


def enqueue_after_commit(
    session: AsyncSession,
    task: BaseTask[..., Any],
    /,
    *,
    task_countdown: float | None = None,
    task_eta: datetime | None = None,
    task_priority: int | None = None,
    task_owner: str | None = None,
    **arguments: Any,
) -> str:
    """Queue the task once the session's transaction is committed; returns the task's id.

    Not to start within `task_countdown` seconds, or before `task_eta`; `task_priority` is 0 to 9, 9 being the most
    urgent; `task_owner` is whose it is, that of the task which queues it unless given. ArgumentsError where the
    arguments are not what the task takes, and before anything is written.
    """
    if task_priority is not None and task_priority not in range(10):
        raise ValueError(f"task_priority is {task_priority!r}; give 0 to 9")
    now = datetime.now(UTC)
    entry = OutboxEntry(
        id=str(uuid.uuid4()),
        name=task.name,
        arguments=_as_json(task, arguments),
        eta=_eta(now, task_countdown, task_eta),
        priority=task_priority,
        owner=task_owner or owner.get(),
        request_id=correlation_id.get(),
        created_at=now,
        relay_at=now + RELAY_AFTER,
    )
    session.add(entry)
    session.info.setdefault(_WRITTEN, []).append(entry.id)
    return entry.id


def _as_json(task: BaseTask[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    task.arguments.bind((), arguments)
    try:
        given = task.arguments.model.model_validate(arguments).model_dump(mode="json", exclude_unset=True)
        json.dumps(given, allow_nan=False)
    except ValueError as error:
        raise ArgumentsError(f"{task.name}: JSON cannot say it: {error}") from None
    return given


def _eta(now: datetime, countdown: float | None, eta: datetime | None) -> datetime | None:
    if countdown is None:
        if eta and eta.tzinfo is None:
            raise ValueError("task_eta has no time zone; give one, such as datetime.UTC")
        return eta
    if eta:
        raise ValueError("task_countdown and task_eta exclude each other; give one of them")
    return now + timedelta(seconds=countdown)


@event.listens_for(Session, "after_commit")
def _push_what_is_committed(session: Session) -> None:
    if session.in_nested_transaction():  # a savepoint was released
        return
    if (ids := session.info.pop(_WRITTEN, None)) and task_queue.is_open():
        _pushers.setdefault(asyncio.get_running_loop(), _Pusher()).push_soon(ids)


@event.listens_for(Session, "after_transaction_end")
def _forget_what_is_not(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(_WRITTEN, None)


class _Pusher:
    """Of one event loop. What is committed while it pushes goes together into its next batch, over one connection."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._task: asyncio.Task[None] | None = None

    def push_soon(self, ids: list[str]) -> None:
        self._waiting += ids
        if self._task is None:
            # in no request's context, for it may serve many
            self._task = asyncio.get_running_loop().create_task(self._push(), context=contextvars.Context())

    async def _push(self) -> None:
        try:
            while ids := self._waiting[:BATCH]:
                del self._waiting[:BATCH]
                await _push_batch(OutboxEntry.id.in_(ids))
        except Exception as error:  # noqa: BLE001 (whatever it is, the relay tries again)
            logger.warning("tasks of the outbox wait for its relay", error=repr(error), cause=repr(error.__cause__))
        finally:
            self._waiting.clear()
            self._task = None


_pushers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pusher] = WeakKeyDictionary()


async def relay() -> int:
    """Push what has waited for longer than it should, the oldest first; returns how many entries were looked at.

    UnavailableError as soon as the queue does not answer; what is left waits for the next run.
    """
    end, count = time.monotonic() + RELAY_SECONDS, 0
    while time.monotonic() < end and (found := await _push_batch(OutboxEntry.relay_at <= datetime.now(UTC))):
        count += found
    return count


async def _push_batch(which: ColumnElement[bool]) -> int:
    """Push a batch of these entries and delete them; returns how many there were."""
    queue, pushed, outage = task_queue.get(), [], None
    batch = select(OutboxEntry).where(which).order_by(OutboxEntry.relay_at).limit(BATCH)
    async with open_session() as session, session.begin():
        # SQLite has no such lock: two may push an entry, under one id
        entries = (await session.scalars(batch.with_for_update(skip_locked=True))).all()
        for entry in entries:
            token = correlation_id.set(entry.request_id)
            try:
                await queue.enqueue(_new_task(entry))
            except UnavailableError as error:
                outage = error
                entry.relay_at = datetime.now(UTC) + RELAY_AFTER  # after the others, should it be for its own sake
                break
            except Exception as error:  # noqa: BLE001 (whatever it is, it must not keep others back)
                logger.error(
                    "a task of the outbox cannot be queued", task=entry.name, task_id=entry.id, error=repr(error)
                )
                entry.error, entry.relay_at = repr(error), datetime.now(UTC) + TRY_AGAIN_AFTER
            else:
                pushed.append(entry.id)
            finally:
                correlation_id.reset(token)
        if pushed:
            await session.execute(delete(OutboxEntry).where(OutboxEntry.id.in_(pushed)))
    if outage:
        raise outage
    return len(entries)


def _new_task(entry: OutboxEntry) -> NewTask:
    task = celery_app.tasks.get(entry.name)
    if not isinstance(task, BaseTask):
        raise LookupError(f"there is no task {entry.name}")
    task.arguments.bind((), entry.arguments)
    return NewTask(task, entry.arguments, task_id=entry.id, owner=entry.owner, eta=entry.eta, priority=entry.priority)
