"""Refuses bodies that are larger than this service wants to read."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import problem_response

# what is left of the body is not read: the connection is of no use for another request
HANG_UP = {"Connection": "close"}

larger_bodies: dict[str, int] = {}
"""Paths that take files, and how many bytes of one; the module of such a path's endpoint enters it here."""


class BodyLimitMiddleware:
    """Answers 413 to a body of more than `limit` bytes, or those of `larger_bodies`.

    It looks both at what the header says and at what comes in.

    Starlette's own (and FastAPI's `max_body_size`) answers in plain text, and without the id of the request.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = larger_bodies.get(scope["path"], self._limit)
        detail = f"The body is larger than {limit} bytes."
        if int(Headers(scope=scope).get("Content-Length", 0)) > limit:  # servers let only numbers through
            answer = problem_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, headers=HANG_UP)
            await answer(scope, receive, send)
        else:
            await self._app(scope, self._counted(receive, limit, detail), send)

    def _counted(self, receive: Receive, limit: int, detail: str) -> Receive:
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, HANG_UP)
            return message

        return receive_counted
