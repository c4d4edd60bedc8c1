"""Errors as RFC 9457 problem details (application/problem+json)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

SCHEMAS = "#/components/schemas/"


class FieldError(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """What every answer of 400 and above holds."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None


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
            "content": {"application/problem+json": {"schema": {"$ref": f"{SCHEMAS}Problem"}}},
        }
        for status in statuses
    }


def problem_schemas() -> dict[str, Any]:
    """What `problems` refers to."""
    _, document = models_json_schema([(Problem, "serialization")], ref_template=SCHEMAS + "{model}")
    schemas: dict[str, Any] = document["$defs"]
    return schemas
