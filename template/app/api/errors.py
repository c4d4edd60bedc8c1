"""Turns every error into a problem-details answer."""

from http import HTTPStatus
from socket import gaierror

import structlog
from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from app.api.problems import problem_response
from app.core.resources import UnavailableError
from app.services.errors import ConflictError, NotFoundError

logger = structlog.stdlib.get_logger(__name__)

AWAY = (UnavailableError, OperationalError, InterfaceError, PoolTimeoutError, ConnectionError, TimeoutError, gaierror)
"""How a server that we depend on shows that it is away: our own word for it, and those of the database drivers."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

MOST_FAULTS = 20
"""Of one request that are told; a large body can hold a hundred thousand."""


def add_error_handlers(app: FastAPI) -> None:
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(ClientDisconnect)(_broke_off)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(NotFoundError)(_not_found)
    app.exception_handler(ConflictError)(_conflict)
    for error in AWAY:
        app.exception_handler(error)(_away)
    app.exception_handler(Exception)(_unexpected)


async def _http(request: Request, error: HTTPException) -> JSONResponse:
    headers = dict(error.headers or {})
    if "Allow" in headers:  # of one route, where several may share the path
        headers["Allow"] = ", ".join(method for method in METHODS if _is_allowed(request, method))
    return problem_response(error.status_code, error.detail, headers=headers)


def _is_allowed(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)


async def _broke_off(_request: Request, _error: ClientDisconnect) -> JSONResponse:
    """Nobody reads this; it keeps a traceback out of the log."""
    return problem_response(HTTPStatus.BAD_REQUEST, "The body ended early.")


async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    errors = [
        {"field": ".".join(map(str, fault["loc"])), "message": fault["msg"]} for fault in error.errors()[:MOST_FAULTS]
    ]
    detail = "; ".join(f"{one['field']}: {one['message']}" for one in errors)
    return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


async def _not_found(_request: Request, error: NotFoundError) -> JSONResponse:
    return problem_response(HTTPStatus.NOT_FOUND, str(error))


async def _conflict(_request: Request, error: ConflictError) -> JSONResponse:
    return problem_response(HTTPStatus.CONFLICT, str(error))


async def _away(_request: Request, error: Exception) -> JSONResponse:
    logger.warning("a server that this service depends on is away", error=repr(error), cause=repr(error.__cause__))
    detail = str(error) if isinstance(error, UnavailableError) else "The database is not available; try again soon."
    return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "5"})


async def _unexpected(_request: Request, _error: Exception) -> JSONResponse:
    detail = "Something went wrong on our side; the log has it under this answer's X-Request-ID."
    # answered outside of the middleware that adds this header to all others
    headers = {"X-Request-ID": correlation_id.get() or ""}
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, detail, headers=headers)
