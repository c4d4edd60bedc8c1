"""For those who watch the service: does it live, is it ready."""

import asyncio
from typing import Any

import structlog
from fastapi import APIRouter, Response, status

from app.core.resources import RESOURCES, Resource
from app.schemas.health import Alive, Readiness

router = APIRouter(prefix="/health", tags=["health"])
logger = structlog.stdlib.get_logger(__name__)

PATIENCE = 1.0
"""Seconds that each part has for its answer."""


@router.get("/live")
async def read_liveness() -> Alive:
    """The process answers. Touches nothing else, so that a database that is away restarts no API."""
    return Alive()


@router.get("/ready", responses={503: {"model": Readiness, "description": "Not ready"}})
async def read_readiness(response: Response) -> Readiness:
    """Everything that the service depends on answers."""
    answers = await asyncio.gather(*(_ask(resource) for resource in RESOURCES))
    parts = {resource.name: answer for resource, answer in zip(RESOURCES, answers, strict=True)}
    if set(answers) == {"ok"}:
        return Readiness(status="ready", parts=parts)
    response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Readiness(status="not ready", parts=parts)


async def _ask(resource: Resource[Any]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            await resource.check()
    except Exception as error:  # noqa: BLE001 (whatever it is, this part is not ready)
        logger.warning("not ready", part=resource.name, error=repr(error))
        return type(error).__name__
    return "ok"
