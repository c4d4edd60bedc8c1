"""Tasks over HTTP: queue one that is exposed by name, see how it is, cancel it."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Path, Response, status
from pydantic import BaseModel

from app.api.problems import problems
from app.core.task_base import BaseTask
from app.core.task_queue import task_queue
from app.core.task_state import TaskState
from app.schemas.tasks import QueuedTask, TaskOut
from app.services.errors import ConflictError, NotFoundError
from app.tasks import exposed_tasks

router = APIRouter(prefix="/api/v1/tasks", tags=["tasks"], responses=problems(422, 503))

TaskId = Annotated[str, Path(examples=["0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10"])]


def _endpoint(task: BaseTask[..., Any]) -> Callable[..., Awaitable[QueuedTask]]:
    """An endpoint whose body is the task's own arguments."""

    async def queue_task(body: BaseModel, response: Response) -> QueuedTask:
        task_id = await task_queue.get().enqueue(task, body.model_dump(mode="json", exclude_unset=True))
        response.headers["Location"] = f"{router.prefix}/{task_id}"
        return QueuedTask(task_id=UUID(task_id), name=task.name)

    model = task.arguments.model
    required = any(field.is_required() for field in model.model_fields.values())
    queue_task.__annotations__["body"] = model if required else Annotated[model, Body(default_factory=model)]
    return queue_task


for task in exposed_tasks():
    router.add_api_route(
        f"/{task.name}",
        _endpoint(task),
        methods=["POST"],
        status_code=status.HTTP_202_ACCEPTED,
        summary=f"Queue {task.name}",
        description=task.__doc__,
        operation_id=f"queue_{task.name.replace('.', '_')}",
    )


@router.post("/{name}", include_in_schema=False)
async def refuse_unknown_task(name: str) -> None:
    raise NotFoundError(f"There is no task {name!r} to queue; {router.prefix} in /docs lists those that can be.")


@router.get("/{task_id}", responses=problems(404))
async def read_task(task_id: TaskId) -> TaskOut:
    return TaskOut.model_validate(await _find(task_id))


@router.delete("/{task_id}", status_code=status.HTTP_202_ACCEPTED, responses=problems(404, 409))
async def cancel_task(task_id: TaskId) -> TaskOut:
    """A waiting task never starts; a running one is stopped."""
    task = await _find(task_id)
    if task.finished:
        raise ConflictError(f"Task {task_id} has ended already: {task.status}.")
    await task_queue.get().cancel(task.task_id)
    return TaskOut.model_validate(await _find(task_id))


async def _find(task_id: str) -> TaskState:
    try:
        found = await task_queue.get().find(str(UUID(task_id)))
    except ValueError:  # no id at all
        found = None
    if found is None:
        raise NotFoundError(f"There is no task {task_id}.")
    return found
