"""The code and the statements in docs/outbox.md do what the page says."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.task_outbox import relay
from app.core.task_outbox_entry import OutboxEntry
from app.core.task_queue import task_queue
from app.core.task_state import TaskState
from app.main import create_app, lifespan

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "outbox.md"


@pytest.fixture
async def client(database: None, redis_server: None) -> AsyncIterator[httpx2.AsyncClient]:
    """Of a service with the endpoint of the page."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, DOCUMENT, "exec"), names)  # noqa: S102 (ours)
    service: FastAPI = create_app()
    service.include_router(names["router"])
    async with (
        lifespan(service),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(service), base_url="http://test") as client,
    ):
        yield client


async def queued(task_id: str) -> TaskState:
    async with asyncio.timeout(5):
        while not (task := await task_queue.get().find(task_id)):  # noqa: ASYNC110 (nothing tells when)
            await asyncio.sleep(0.01)
        return task


async def sign_up(client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.post("/api/v1/sign-ups", json={"email": "ada@example.org", "name": "Ada"})


async def test_the_task_of_who_signs_up_is_queued(client: httpx2.AsyncClient) -> None:
    answer = await sign_up(client)
    assert answer.status_code == 201, answer.text
    assert (await client.get(f"/api/v1/users/{answer.json()['user']}")).json()["name"] == "Ada"
    task = await queued(answer.json()["task"])
    assert (task.name, task.status) == ("users.update_stats", "PENDING")


async def test_who_is_refused_queues_nothing(client: httpx2.AsyncClient) -> None:
    await queued((await sign_up(client)).json()["task"])
    assert (await sign_up(client)).status_code == 409
    assert sum((await task_queue.get().depth()).waiting.values()) == 1


async def test_the_statements_find_free_and_remove_what_cannot_be_queued(
    client: httpx2.AsyncClient, session: AsyncSession
) -> None:
    (code,) = re.findall(r"^```sql\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    look, again, give_up = (text(statement) for statement in code.replace("...", "lost").strip().split("\n"))
    moment = datetime.now(UTC) - timedelta(seconds=2)
    async with session.begin():
        session.add(OutboxEntry(id="lost", name="no.such_task", arguments={}, created_at=moment, relay_at=moment))
    assert await relay() == 1
    assert await relay() == 0
    async with session.begin():
        (row,) = (await session.execute(look)).all()
        assert (row.id, row.name) == ("lost", "no.such_task")
        await session.execute(again)
    assert await relay() == 1
    async with session.begin():
        await session.execute(give_up)
        assert (await session.execute(look)).all() == []
