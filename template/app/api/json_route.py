"""Reads the bodies of requests: as JSON, and strictly."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from itertools import islice
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from app.api.errors import MOST_FAULTS
from app.core import strict_json


class JsonRoute(APIRoute):
    """The `route_class` of every router."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if not self.body_field:
            return handle

        async def handle_json(request: Request) -> Response:
            if body := await request.body():
                if not _is_json(request):
                    raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json.")
                request._json = _read(body)  # noqa: SLF001 (where Starlette keeps what its own parser makes of it)
            return await handle(request)

        return handle_json


def _is_json(request: Request) -> bool:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"


def _read(body: bytes) -> Any:
    try:
        value = strict_json.parse(body)
    except ValueError as error:
        raise RequestValidationError([{"loc": ("body",), "msg": f"No valid JSON: {error}"}]) from None
    if faults := list(islice(strict_json.find_faults(value), MOST_FAULTS)):
        raise RequestValidationError([{"loc": ("body", *fault.place), "msg": fault.message} for fault in faults])
    return value
