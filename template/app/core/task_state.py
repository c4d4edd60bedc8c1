"""What is known of a task, put together from its record and from what Celery stores of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from celery import states

from app.core.config.base import get_app_env

Status = Literal["PENDING", "STARTED", "PROGRESS", "RETRY", "SUCCESS", "FAILURE", "REVOKED"]


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
    status: Status
    progress: dict[str, Any] | None
    result: Any
    error: TaskError | None
    queued_at: str
    started_at: str | None
    finished_at: str | None
    retries: int

    @property
    def finished(self) -> bool:
        return self.status in states.READY_STATES


def read_task_state(task_id: str, name: str, queued_at: str, stored: str | None, *, cancelled: bool) -> TaskState:
    """Put it together from its record and Celery's own JSON in the result backend."""
    meta: dict[str, Any] = json.loads(stored) if stored else {}
    status = meta.get("status", "PENDING")
    if cancelled and status not in states.READY_STATES:
        status = "REVOKED"
    return TaskState(
        task_id=task_id,
        name=name,
        status=status,
        progress=meta.get("progress"),
        result=meta["result"] if status == "SUCCESS" else None,
        error=_read_error(meta) if status in ("FAILURE", "RETRY") else None,
        queued_at=queued_at,
        started_at=meta.get("started_at"),
        finished_at=meta.get("date_done"),
        retries=meta.get("retries") or 0,
    )


def _read_error(meta: Mapping[str, Any]) -> TaskError:
    raised = meta["result"]
    message = raised["exc_message"]
    return TaskError(
        type=raised["exc_type"],
        message=message if isinstance(message, str) else ", ".join(map(str, message)),
        traceback=meta.get("traceback") if get_app_env() == "development" else None,
    )
