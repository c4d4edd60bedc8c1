"""What is told of each exposed task by types of its own, made of its signature: as it is queued, and as it is read."""

from functools import reduce
from operator import or_
from typing import Any, Literal, Optional

from pydantic import BaseModel, TypeAdapter, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError, PydanticUserError

from app.api.documentation import LOCATION
from app.core.task_base import BaseTask
from app.schemas.tasks import QueuedTask, TaskOut
from app.tasks import exposed_tasks


def answer_to_queueing(task: BaseTask[..., Any]) -> dict[str, Any]:
    """For `responses=`: the queued task, and how to go on from there."""
    return {
        "model": _typed(QueuedTask, task, "Queued"),
        "description": "Queued; it starts as soon as a worker is free",
        "headers": LOCATION,
        "links": {
            "read": _link("read_task", "Its state, and its result when it has ended."),
            "cancel": _link("cancel_task", "It does not start any more, or is stopped."),
            "replay": _link("replay_task", "The same again, should it fail."),
        },
    }


def answer_to_reading() -> dict[str, Any]:
    """For `responses=`: a task by its name with its own kind of result; one that is not exposed with any."""
    kinds = [_typed(TaskOut, task, "Task", result=(_result(task), ...)) for task in exposed_tasks()]
    return {"model": reduce(or_, [*kinds, TaskOut])}


def _typed(model: type[BaseModel], task: BaseTask[..., Any], suffix: str, **fields: Any) -> type[BaseModel]:
    title = task.arguments.model.__name__.removesuffix("Arguments") + suffix
    fields["name"] = (Literal[task.name], ...)
    return create_model(title, __base__=model, __doc__=task.__doc__, **fields)


def _result(task: BaseTask[..., Any]) -> Any:
    try:
        TypeAdapter(task.arguments.result).json_schema(mode="serialization")
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema, PydanticUserError):
        return Any  # it becomes JSON in a way that Pydantic does not know
    return Optional[task.arguments.result]  # noqa: UP045 (`|` is not for all that can stand here, such as None)


def _link(operation: str, description: str) -> dict[str, Any]:
    return {
        "operationId": operation,
        "parameters": {"task_id": "$response.body#/task_id"},
        "description": description,
    }
