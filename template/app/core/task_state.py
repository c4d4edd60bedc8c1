"""What is known of a task, put together from its record and from what Celery stores of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from celery import states

from app.core.config.base import get_app_env

Status = Literal["PENDING", "STARTED", "PROGRESS", "RETRY", "SUCCESS", "FAILURE", "REVOKED"]

FIELDS = ("name", "owner", "queued_at", "cancelled", "started", "ended", "replayed_as")
"""Of the record, in the order in which `read_task_state` takes them."""


@dataclass(frozen=True)
class TaskError:
    type: str
    message: str
    traceback: str | None


@dataclass(frozen=True)
class TaskState:
    """Times are ISO 8601, in UTC."""

    task_id: str
    name: str
    owner: str | None
    status: Status
    progress: dict[str, Any] | None
    result: Any
    error: TaskError | None
    queued_at: str
    started_at: str | None
    finished_at: str | None
    retries: int
    replayed_as: str | None = None
    """The task that runs with the arguments of this one, which failed."""
    version: int = 0
    """Counts what was stored of the task."""

    @property
    def finished(self) -> bool:
        return self.status in states.READY_STATES

    @property
    def event_id(self) -> str:
        """Tells this state of the task from any other."""
        return f"{self.version}-{self.status}"


def read_task_state(task_id: str, record: Sequence[str | None], stored: str | None) -> TaskState | None:
    """Put it together from its record and Celery's own JSON in the result backend; None where there is no record."""
    name, owner, queued_at, cancelled, started, ended, replayed_as = record
    if name is None or queued_at is None:
        return None
    meta = _parse(stored) if stored else {}
    # of a task whose result is ignored only a failure is stored; one acknowledged early may not have started yet
    status: Status = meta.get("status") or ("SUCCESS" if started and ended else "PENDING")
    if cancelled and status not in states.READY_STATES:
        status = "REVOKED"
    elif status not in get_args(Status):
        status = "STARTED"  # one that the task has thought of by itself
    return TaskState(
        task_id=task_id,
        name=name,
        owner=owner,
        status=status,
        progress=meta.get("progress"),
        result=meta.get("result") if status == "SUCCESS" else None,
        error=_read_error(meta) if status in ("FAILURE", "RETRY") else None,
        queued_at=queued_at,
        started_at=meta.get("started_at"),
        finished_at=meta.get("date_done"),
        retries=meta.get("retries") or 0,
        replayed_as=replayed_as,
        version=meta.get("version", 0),
    )


def read_next_state(state: TaskState, stored: str) -> TaskState:
    """The same task by what has been stored of it since."""
    record = (state.name, state.owner, state.queued_at, None, None, None, state.replayed_as)
    return read_task_state(state.task_id, record, stored) or state


def cancelled_meta(task: TaskState) -> dict[str, Any]:
    """What Celery stores of a task that was revoked."""
    return {
        "task_id": task.task_id,
        "name": task.name,
        "status": states.REVOKED,
        "result": {"exc_type": "TaskRevokedError", "exc_message": ["cancelled"], "exc_module": "celery.exceptions"},
        "traceback": None,
        "children": [],
        "started_at": task.started_at,
        "date_done": datetime.now(UTC).isoformat(),
        "progress": task.progress,
        "retries": task.retries,
    }


def _parse(stored: str) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads(stored)
    if "\\ud" in stored:  # what a task says may hold halves of characters, with which no answer could be written
        whole = json.dumps(meta, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        meta = json.loads(whole)
    return meta


def _read_error(meta: Mapping[str, Any]) -> TaskError:
    raised = meta["result"]
    if not isinstance(raised, Mapping) or "exc_type" not in raised:  # the task has set its state by itself
        raised = {"exc_type": "Failure", "exc_message": str(raised)}
    message = raised["exc_message"]
    return TaskError(
        type=raised["exc_type"],
        message=message if isinstance(message, str) else ", ".join(map(str, message)),
        traceback=meta.get("traceback") if get_app_env() == "development" else None,
    )
