"""Turns every error into a problem-details answer."""

from http import HTTPStatus
from socket import gaierror
from typing import Any

import structlog
from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from app.api.problems import problem_response
from app.core.resources import UnavailableError
from app.services.errors import ConflictError, NotFoundError

logger = structlog.stdlib.get_logger(__name__)

AWAY = (UnavailableError, OperationalError, InterfaceError, PoolTimeoutError, ConnectionError, TimeoutError, gaierror)
"""How a server that we depend on shows that it is away: our own word for it, and those of the database drivers."""


def add_error_handlers(app: FastAPI) -> None:
    app.exception_handler(HTTPException)(_http)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(NotFoundError)(_not_found)
    app.exception_handler(ConflictError)(_conflict)
    for error in AWAY:
        app.exception_handler(error)(_away)
    app.exception_handler(Exception)(_unexpected)


async def _http(_request: Request, error: HTTPException) -> JSONResponse:
    return problem_response(error.status_code, error.detail, headers=error.headers)


async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    errors = [_field_error(fault) for fault in error.errors()]
    detail = "; ".join(f"{one['field']}: {one['message']}" for one in errors)
    return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


def _field_error(fault: dict[str, Any]) -> dict[str, str]:
    if fault["type"] == "json_invalid":  # its location is a number of characters
        return {"field": "body", "message": f"{fault['msg']}: {fault['ctx']['error']}"}
    return {"field": ".".join(map(str, fault["loc"])), "message": fault["msg"]}


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
