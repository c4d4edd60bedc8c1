"""Tasks and the schedule, as they go out."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from app.core.config.task_api import get_task_api_settings


class QueueOptions(BaseModel):
    """When a task is to start, and what it goes before."""

    model_config = ConfigDict(extra="forbid")

    countdown: Annotated[float | None, Field(ge=0, allow_inf_nan=False, description="Seconds before it starts.")] = None
    eta: Annotated[AwareDatetime | None, Field(description="Time before which it does not start.")] = None
    priority: Annotated[int | None, Field(ge=0, le=9, description="9 is the most urgent; or the task's own.")] = None

    @field_validator("countdown")
    @classmethod
    def _not_too_long(cls, countdown: float | None) -> float | None:
        longest = get_task_api_settings().longest_delay
        if countdown is not None and countdown > longest:
            raise ValueError(f"a start can be put off by {longest} seconds at most")
        return countdown

    @field_validator("eta")
    @classmethod
    def _soon_but_not_past(cls, eta: datetime | None) -> datetime | None:
        if eta is not None:
            wait = eta - datetime.now(UTC)
            if wait < timedelta(0):
                raise ValueError("lies in the past")
            cls._not_too_long(wait.total_seconds())
        return eta

    @field_validator("priority")
    @classmethod
    def _not_too_high(cls, priority: int | None) -> int | None:
        highest = get_task_api_settings().highest_priority
        if priority is not None and priority > highest:
            raise ValueError(f"{highest} is the highest")
        return priority

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if self.countdown is not None and self.eta is not None:
            raise ValueError("give `countdown` or `eta`, not both")
        return self

    def start_at(self) -> datetime | None:
        return self.eta if self.countdown is None else datetime.now(UTC) + timedelta(seconds=self.countdown)


class QueuedTask(BaseModel):
    task_id: UUID
    name: str
    status: Literal["PENDING"] = "PENDING"


class Progress(BaseModel):
    current: int | float
    total: int | float
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
    replayed_as: UUID | None
    """The new task with the arguments of this one, which failed."""


class TaskPage(BaseModel):
    tasks: list[TaskOut]
    next: str | None
    """The `cursor` of the next page."""


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
    by_priority: dict[str, dict[int, int]] | None
    """The same by priority, 9 being the most urgent; null where the broker does not tell."""
    unacknowledged: int | None
    """Handed to a worker and not finished; null where the broker does not tell."""
