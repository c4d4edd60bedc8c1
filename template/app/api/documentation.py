"""What FastAPI does not work out by itself for the OpenAPI document."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.api.problems import problem_schemas


def operation_id(route: APIRoute) -> str:
    """The name of its function, by which generated clients call it."""
    return route.name


LOCATION: dict[str, Any] = {"Location": {"description": "Where it can be read.", "schema": {"type": "string"}}}
"""The `headers` of an answer that tells of something new."""


def document_problems(app: FastAPI) -> None:
    """FastAPI knows only schemas of answers that are plain JSON."""
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        document = describe()
        document.setdefault("components", {}).setdefault("schemas", {}).update(problem_schemas())
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to do it
