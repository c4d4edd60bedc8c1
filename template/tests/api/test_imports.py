"""Files of orders over HTTP."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from redis import Redis

from app.core import stored_files
from app.core.config.files import get_files_settings
from app.core.resources import UnavailableError
from app.core.task_queue import TaskQueue
from app.main import app
from app.services import order_import
from tests.fixtures.celery import bearer

pytestmark = pytest.mark.usefixtures("redis_server")

IMPORTS = "/api/v1/imports"
CSV = {"Content-Type": "text/csv"}


def files() -> list[Path]:
    return sorted(stored_files.folder("imports").iterdir())


@pytest.fixture(autouse=True)
def _no_files() -> None:
    for file in files():
        file.unlink()


def messages(broker: Redis) -> list[Any]:
    return [text for key in broker.keys("low_priority*") for text in broker.lrange(key, 0, -1)]


async def test_a_file_is_kept_and_its_import_queued_for_its_caller(shop: httpx2.AsyncClient, broker: Redis) -> None:
    answer = await shop.post(IMPORTS, content=b"reference\n1\n", headers={"Content-Type": "text/csv; charset=utf-8"})
    assert answer.status_code == 202, answer.text
    assert answer.json()["name"] == "imports.orders"
    assert answer.headers["Location"] == f"/api/v1/tasks/{answer.json()['task_id']}"
    (file,) = files()
    assert file.read_bytes() == b"reference\n1\n"
    assert file.stat().st_mode & 0o777 == 0o600
    (message,) = messages(broker)
    headers = json.loads(message)["headers"]
    assert (headers["owner"], headers["id"]) == ("shop", file.stem)
    assert (await shop.get(answer.headers["Location"])).json()["status"] == "PENDING"
    assert (await shop.get(answer.headers["Location"], headers=bearer("farm"))).status_code == 404


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x", "text/csvx", ""])
async def test_another_type_of_content_is_refused(shop: httpx2.AsyncClient, broker: Redis, content_type: str) -> None:
    answer = await shop.post(IMPORTS, content=b"reference\n", headers={"Content-Type": content_type})
    assert (answer.status_code, answer.headers["Content-Type"]) == (415, "application/problem+json")
    assert (files(), messages(broker)) == ([], [])


async def test_who_has_no_key_leaves_no_file(client: httpx2.AsyncClient) -> None:
    assert (await client.post(IMPORTS, content=b"reference\n", headers=CSV)).status_code == 401
    assert files() == []


async def zeros(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65536):
        yield bytes(65536)
        await asyncio.sleep(0)


async def test_a_file_over_the_limit_is_refused_and_leaves_nothing(shop: httpx2.AsyncClient, broker: Redis) -> None:
    limit = get_files_settings().upload_limit
    declared = await shop.post(IMPORTS, content=bytes(limit + 1), headers=CSV)
    assert declared.status_code == 413
    streamed = await shop.post(IMPORTS, content=zeros(limit + 2**17), headers=CSV)
    assert (streamed.status_code, streamed.headers["Content-Type"]) == (413, "application/problem+json")
    assert (files(), messages(broker)) == ([], [])


async def test_a_file_is_not_held_in_memory(shop: httpx2.AsyncClient) -> None:
    size = get_files_settings().upload_limit // 65536 * 65536
    await shop.post(IMPORTS, content=zeros(65536), headers=CSV)
    tracemalloc.start()
    try:
        answer = await shop.post(IMPORTS, content=zeros(size), headers=CSV)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 202
    assert {file.stat().st_size for file in files()} == {65536, size}
    assert peak < size / 2


async def test_a_file_that_breaks_off_leaves_nothing(shop: httpx2.AsyncClient, broker: Redis) -> None:
    received = iter([{"type": "http.request", "body": b"reference", "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in (CSV | bearer("shop")).items()]
    await app(
        {"type": "http", "method": "POST", "path": IMPORTS, "query_string": b"", "headers": headers}, receive, send
    )
    assert sent[0]["status"] == 400
    assert (files(), messages(broker)) == ([], [])


async def test_no_file_is_left_where_the_queue_is_away(
    shop: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> str:
        assert files()
        raise UnavailableError("The task queue is not available; try again soon.")

    monkeypatch.setattr(TaskQueue, "enqueue", refuse)
    answer = await shop.post(IMPORTS, content=b"reference\n", headers=CSV)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert files() == []


async def test_bad_rows_are_read_by_who_sent_the_file(shop: httpx2.AsyncClient) -> None:
    task_id = (await shop.post(IMPORTS, content=b"", headers=CSV)).json()["task_id"]
    address = f"{IMPORTS}/{task_id}/bad-rows"
    assert (await shop.get(address)).status_code == 404
    order_import.bad_rows_of(UUID(task_id)).write_text("line,message\n2,no\n")
    answer = await shop.get(address)
    assert (answer.status_code, answer.text) == (200, "line,message\n2,no\n")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="bad-rows.csv"'
    assert (await shop.get(address, headers=bearer("farm"))).status_code == 404
    assert (await shop.get(address, headers=bearer("admin"))).status_code == 200


@pytest.mark.parametrize("task_id", ["0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10", "..%2F..%2Fservice", "7"])
async def test_bad_rows_of_no_import_are_not_found(shop: httpx2.AsyncClient, task_id: str) -> None:
    assert (await shop.get(f"{IMPORTS}/{task_id}/bad-rows")).status_code == 404
