"""Whether the service lives, and whether it is ready."""

import asyncio

import httpx2
import pytest

from app.api.routes import health
from app.core.database import database as database_resource
from app.core.resources import RESOURCES


async def test_live_answers_while_the_database_is_away(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_resource, "check", refuse)
    answer = await client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_ready_names_each_part(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "parts": {resource.name: "ok" for resource in RESOURCES}}
    assert "database" in answer.json()["parts"]


async def test_not_ready_names_the_part_that_is_away(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_resource, "check", refuse)
    answer = await client.get("/health/ready")
    others = {resource.name: "ok" for resource in RESOURCES if resource is not database_resource}
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "parts": {"database": "ConnectionRefusedError"} | others}


async def test_a_part_that_hangs_is_not_ready(client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.05)
    monkeypatch.setattr(database_resource, "check", asyncio.Event().wait)
    async with asyncio.timeout(5):
        answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"]["database"] == "TimeoutError"


async def refuse() -> None:
    raise ConnectionRefusedError
