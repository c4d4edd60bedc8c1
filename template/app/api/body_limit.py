"""Refuses bodies that are larger than this service wants to read."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response

# what is left of the body is not read: the connection is of no use for another request
HANG_UP = {"Connection": "close"}


class BodyLimitMiddleware:
    """Answers 413 to a body of more than `limit` bytes, both as its header says and as it comes in.

    Starlette's own (and FastAPI's `max_body_size`) answers in plain text, and without the id of the request.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit
        self._detail = f"The body is larger than {limit} bytes."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif int(Headers(scope=scope).get("Content-Length", 0)) > self._limit:  # servers let only numbers through
            answer = problem_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._detail, headers=HANG_UP)
            await answer(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._detail, HANG_UP)
            return message

        return receive_counted
