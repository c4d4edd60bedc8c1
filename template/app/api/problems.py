"""Errors as RFC 9457 problem details (application/problem+json)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal

from fastapi.responses import JSONResponse
from pydantic import BaseModel


class Problem(BaseModel):
    """What every answer of 400 and above holds."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[Literal["field", "message"], str]] | None = None


REFUSED_BODY = (413, 415, 422)
"""How an endpoint that reads a body may refuse it."""


def problem_response(
    status: int,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    problem = Problem.model_validate(
        {"title": HTTPStatus(status).phrase, "status": status, "detail": detail, "errors": errors}
    )
    return JSONResponse(
        problem.model_dump(exclude_none=True), status, headers=headers, media_type="application/problem+json"
    )


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of an endpoint that answers with these statuses when something is wrong."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
        }
        for status in statuses
    }
