"""The course of a task as server-sent events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Header, HTTPException, Response, status
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Message, Receive, Scope, Send

from app.api.callers import OwnTask
from app.api.problems import problems
from app.api.stopping import cut_connection, heed_signals
from app.core.config.task_api import get_task_api_settings
from app.core.task_queue import task_queue
from app.core.task_state import TaskState
from app.schemas.tasks import TaskOut

logger = structlog.stdlib.get_logger(__name__)
router = APIRouter(prefix="/api/v1/tasks", tags=["tasks"], responses=problems(401, 422, 503), lifespan=heed_signals)

HEARTBEAT_SECONDS = 15
PATIENCE_SECONDS = 30
"""With a reader that takes nothing."""

LastEventId = Annotated[
    str | None, Header(alias="Last-Event-ID", description="`id` of the last event that the reader has seen")
]
EVENT = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["state", "end"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
EXAMPLE = """\
id: 2-PROGRESS
event: state
data: {"task_id":"0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10","name":"reports.activity","status":"PROGRESS",...}

id: 3-SUCCESS
event: end
data: {"task_id":"0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10","name":"reports.activity","status":"SUCCESS",...}

"""


class Streams:
    """Those of this process."""

    open = 0


async def count_stream() -> AsyncIterator[None]:
    most = get_task_api_settings().streams
    if Streams.open >= most:
        detail = f"{most} streams of events are open, which is the most; try again soon, or ask with ?wait=."
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, detail, {"Retry-After": "5"})
    Streams.open += 1
    try:
        yield
    finally:
        Streams.open -= 1


class EventStream(EventSourceResponse):
    """Leaves a reader who takes nothing any more."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        complete = False

        async def send_on(message: Message) -> None:
            nonlocal complete
            await send(message)
            complete = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            await super().__call__(scope, receive, send_on)
        except SendTimeoutError:
            logger.info("a reader of events took nothing and was left", path=scope["path"])
        if not complete:
            cut_connection(scope)
            await asyncio.sleep(0)  # the server notices, and does not complain that an answer is incomplete


@router.get(
    "/{task_id}/events",
    response_class=EventStream,
    responses={
        200: {
            "description": "The course of the task",
            "content": {"text/event-stream": {"itemSchema": EVENT, "example": EXAMPLE}},
        },
        204: {"description": "The reader has seen the end already"},
        **problems(404),
    },
)
async def read_events(
    task: OwnTask,
    _counted: Annotated[None, Depends(count_stream)],
    last_event_id: LastEventId = None,
) -> Response:
    """The task as it stands, then each change: an event `state`, or `end` when it has ended, which is the last one.

    The data is what `GET /tasks/{task_id}` answers. A slow reader gets fewer steps, but always the end.
    """
    if task.finished and task.event_id == last_event_id:
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return EventStream(
        _events(task, last_event_id),
        headers={"Cache-Control": "no-store"},
        ping=HEARTBEAT_SECONDS,
        send_timeout=PATIENCE_SECONDS,
        sep="\n",
    )


async def _events(task: TaskState, seen: str | None) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(task_queue.get().follow(task)) as course:
        async for state in course:
            if state.event_id != seen:
                yield _event(state)


def _event(state: TaskState) -> ServerSentEvent:
    data: Any = TaskOut.model_validate(state).model_dump_json()
    return ServerSentEvent(data, event="end" if state.finished else "state", id=state.event_id, sep="\n")
