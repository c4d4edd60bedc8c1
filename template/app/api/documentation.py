"""What FastAPI does not work out by itself for the OpenAPI document."""

from typing import Any

from fastapi.routing import APIRoute


def operation_id(route: APIRoute) -> str:
    """The name of its function, by which generated clients call it."""
    return route.name


LOCATION: dict[str, Any] = {"Location": {"description": "Where it can be read.", "schema": {"type": "string"}}}
"""The `headers` of an answer that tells of something new."""
