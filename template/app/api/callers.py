"""Who calls the task API: the owner of the key in `Authorization: Bearer`; and the task of theirs that a path names."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, HTTPException, Path, Security, status
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPBearer

from app.core.config.base import get_app_env
from app.core.config.task_api import ADMIN, get_task_api_settings
from app.core.task_queue import task_queue
from app.core.task_state import TaskState
from app.services.errors import NotFoundError


@dataclass(frozen=True)
class Caller:
    owner: str

    @property
    def sees_only(self) -> str | None:
        """The owner whose tasks this caller sees; None for one who sees all."""
        return None if self.owner == ADMIN else self.owner


class ApiKey(HTTPBearer):
    """It finds the caller itself: what FastAPI calls in between costs each request as much as the key does."""

    async def __call__(self, request: HTTPConnection) -> Caller:  # type: ignore[override]  # the caller, not the key
        credentials = await super().__call__(request)
        if credentials is None and get_app_env() == "development":
            return Caller(ADMIN)
        owner = credentials and get_task_api_settings().owner_of(credentials.credentials)
        if not owner:
            raise HTTPException(
                status.HTTP_401_UNAUTHORIZED,
                "This needs the header `Authorization: Bearer KEY` with a key that `make api-key owner=NAME` has made.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return Caller(owner)


find_caller = ApiKey(
    auto_error=False,
    scheme_name="API key",
    description="A key made by `make api-key owner=NAME`. In development none is needed.",
)
CallerDep = Annotated[Caller, Security(find_caller)]
TaskId = Annotated[str, Path(examples=["0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10"])]


async def find_own_task(task_id: TaskId, caller: CallerDep) -> TaskState:
    """NotFoundError also for the task of another owner, and for what is no id."""
    try:
        found = await task_queue.get().find(str(UUID(task_id)))
    except ValueError:
        found = None
    if found is None or caller.sees_only not in (None, found.owner):
        raise NotFoundError(f"There is no task {task_id}.")
    return found


OwnTask = Annotated[TaskState, Depends(find_own_task)]
