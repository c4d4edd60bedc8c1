"""Tasks over HTTP: queue one that is exposed by name, see how it is, list, cancel and replay them."""

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response, status
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from app.api.callers import Caller, CallerDep, OwnTask, find_own_task
from app.api.json_route import JsonRoute
from app.api.problems import REFUSED_BODY, problems
from app.api.queueing import TASKS, enqueue, queued
from app.api.task_schemas import answer_to_queueing, answer_to_reading
from app.api.task_wait import Wait, wait_for_end
from app.core.strict_json import StrictJson
from app.core.task_base import BaseTask
from app.core.task_keys import claim_key
from app.core.task_list import Place
from app.core.task_message import NewTask
from app.core.task_publishers import NO_CLAIM, Claim
from app.core.task_queue import KeyReusedError, NotReplayableError, task_queue
from app.core.task_state import Status
from app.schemas.tasks import QueuedTask, QueueOptions, TaskOut, TaskPage
from app.services.errors import ConflictError, NotFoundError
from app.tasks import exposed_tasks

router = APIRouter(prefix=TASKS, tags=["tasks"], responses=problems(401, 422, 503), route_class=JsonRoute)

IDEMPOTENCY_SECONDS = 24 * 3600

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="The same key with the same request answers with the same task, for 24 hours.",
    ),
]


def _endpoint(task: BaseTask[..., Any]) -> Callable[..., Awaitable[QueuedTask]]:
    """An endpoint whose body is the task's own arguments."""

    async def queue_task(
        body: BaseModel,
        response: Response,
        caller: CallerDep,
        options: Annotated[QueueOptions, Query()],
        idempotency_key: IdempotencyKey = None,
    ) -> QueuedTask:
        arguments = body.model_dump(mode="json", exclude_unset=True)
        new = NewTask(task, arguments, owner=caller.owner, eta=options.start_at(), priority=options.priority)
        claim = _claim(caller, idempotency_key, [task.name, arguments, options.model_dump_json()])
        try:
            return await enqueue(new, response, claim=claim)
        except KeyReusedError:
            message = "has been used for another request; take a new key for a new request"
            raise _invalid("header", "Idempotency-Key", message) from None

    model = task.arguments.model
    required = any(field.is_required() for field in model.model_fields.values())
    given: Any = Annotated[model, StrictJson()]
    queue_task.__annotations__["body"] = given if required else Annotated[given, Body(default_factory=model)]
    return queue_task


def _claim(caller: Caller, key: str | None, request: object) -> Claim:
    if key is None:
        return NO_CLAIM
    is_for = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    return Claim(claim_key(caller.owner, key), is_for, IDEMPOTENCY_SECONDS)


def _invalid(*place_and_message: str) -> RequestValidationError:
    *place, message = place_and_message
    return RequestValidationError([{"type": "value_error", "loc": place, "msg": message}])


for task in exposed_tasks():
    router.add_api_route(
        f"/{task.name}",
        _endpoint(task),
        methods=["POST"],
        status_code=status.HTTP_202_ACCEPTED,
        responses={202: answer_to_queueing(task), **problems(429, *REFUSED_BODY)},
        summary=f"Queue {task.name}",
        description=task.__doc__,
        operation_id=f"queue_{task.name.replace('.', '_')}",
    )


@router.post("/{name}", include_in_schema=False)
async def refuse_unknown_task(name: str, _caller: CallerDep) -> None:
    raise NotFoundError(f"There is no task {name!r} to queue; {router.prefix} in /docs lists those that can be.")


@router.get("")
async def list_tasks(
    caller: CallerDep,
    status: Status | None = None,
    name: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=200, description="`next` of the page before")] = None,
) -> TaskPage:
    """The caller's tasks, newest first. A page may hold fewer than `limit`, and yet have a `next` one."""
    after = _read_cursor(cursor) if cursor else None
    page = await task_queue.get().list_tasks(caller.sees_only, status=status, name=name, limit=limit, after=after)
    return TaskPage(
        tasks=[TaskOut.model_validate(task) for task in page.tasks], next=page.next and _write_cursor(page.next)
    )


def _write_cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(f"{place.score!r} {place.task_id}".encode()).decode()


def _read_cursor(cursor: str) -> Place:
    try:
        score, task_id = base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii").split(" ")
        place = Place(float(score), task_id)
        if _write_cursor(place) != cursor or not math.isfinite(place.score):
            raise ValueError
    except (ValueError, binascii.Error):
        raise _invalid("query", "cursor", "is not the `next` of a page") from None
    return place


@router.get("/{task_id}", response_model=None, responses={200: answer_to_reading(), **problems(404)})
async def read_task(request: Request, task: OwnTask, wait: Wait = None) -> Response:
    """How a task is: its state, how far it is, and its result or its error; `wait` for its end with one request."""
    found = TaskOut.model_validate(await wait_for_end(request, task, wait) if wait else task)
    return Response(found.model_dump_json(), media_type="application/json")


@router.delete("/{task_id}", status_code=status.HTTP_202_ACCEPTED, responses=problems(404, 409))
async def cancel_task(task: OwnTask, caller: CallerDep) -> TaskOut:
    """A waiting task never starts; a running one is asked to stop, and ended if it does not."""
    if task.finished or not await task_queue.get().cancel(task):
        raise ConflictError(f"Task {task.task_id} has ended already.")
    return TaskOut.model_validate(await find_own_task(task.task_id, caller))


@router.post("/{task_id}/replay", status_code=status.HTTP_202_ACCEPTED, responses=problems(404, 409))
async def replay_task(task: OwnTask, response: Response) -> QueuedTask:
    """Queue a task that failed once more, as a new one with the same arguments; asked twice, it is the same new one."""
    try:
        task_id = await task_queue.get().replay(task)
    except NotReplayableError as error:
        raise ConflictError(str(error)) from None
    return queued(response, task_id, task.name)
