"""Tasks and the schedule, as they go out."""

from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class QueuedTask(BaseModel):
    task_id: UUID
    name: str
    status: Literal["PENDING"] = "PENDING"


class Progress(BaseModel):
    current: int
    total: int
    message: str


class TaskError(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    type: str
    message: str
    traceback: str | None = Field(exclude_if=lambda value: value is None)


class TaskOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    task_id: UUID
    name: str
    status: Literal["PENDING", "STARTED", "PROGRESS", "RETRY", "SUCCESS", "FAILURE", "REVOKED"]
    progress: Progress | None
    result: Any
    error: TaskError | None
    queued_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    retries: int


class ScheduleEntry(BaseModel):
    name: str
    task: str
    schedule: str
    last_run: AwareDatetime | None
    next_run: AwareDatetime


class CeleryHealth(BaseModel):
    status: Literal["ok", "no workers"]
    workers: list[str]
    waiting: dict[str, int]
    """Messages by queue."""
    unacknowledged: int | None
