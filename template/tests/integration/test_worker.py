"""Tasks from request to outcome, with a real worker on a real Redis."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.beat import Scheduler
from app.core.celery import celery_app
from app.core.task_keys import result_key
from app.core.task_message import NewTask
from app.core.task_queue import task_queue
from app.models.user_statistics import UserStatistics
from tests.fixtures.redis import database_url
from tests.fixtures.worker import TASKS, outcome, run_task, until
from tests.integration.waiting_task import wait

pytestmark = pytest.mark.usefixtures("worker")


async def queue_wait(started: Path) -> str:
    task_id = await task_queue.get().enqueue(NewTask(wait, {"started": str(started)}, owner="shop"))
    return f"{TASKS}/{task_id}"


async def exists(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)


async def test_a_task_that_was_queued_over_http_does_its_work(shop: httpx2.AsyncClient, session: AsyncSession) -> None:
    await shop.post("/api/v1/users", json={"email": "ada@example.org", "name": "Ada"})
    task = await run_task(shop, "users.update_stats")
    assert task["status"] == "SUCCESS", task
    assert task["result"]["users"] == 1
    assert task["queued_at"] <= task["started_at"] <= task["finished_at"]
    (kept,) = (await session.scalars(select(UserStatistics))).all()
    assert (kept.day.isoformat(), kept.users) == (task["result"]["day"], 1)


async def test_progress_is_seen_while_a_task_runs(shop: httpx2.AsyncClient) -> None:
    location = (await shop.post(f"{TASKS}/reports.activity", json={"days": 366})).headers["Location"]

    async def in_progress() -> dict[str, Any] | None:
        task: dict[str, Any] = (await shop.get(location)).json()
        return task if task["progress"] else None

    seen = await until(in_progress)
    ended = await outcome(shop, location)
    assert seen["progress"]["total"] == 366
    assert 1 <= seen["progress"]["current"] <= 366
    assert ended["status"] == "SUCCESS"
    assert ended["progress"]["current"] == 366
    assert len(ended["result"]) == 366


async def test_a_running_task_that_is_cancelled_stops_and_cleans_up(shop: httpx2.AsyncClient, tmp_path: Path) -> None:
    location = await queue_wait(tmp_path / "started")
    await until(lambda: exists(tmp_path / "started"))
    assert (await shop.get(location)).json()["status"] == "STARTED"
    assert (await shop.delete(location)).status_code == 202
    await until(lambda: exists(tmp_path / "started.stopped"))
    assert (await outcome(shop, location))["status"] == "REVOKED"
    assert (await run_task(shop, "users.update_stats"))["status"] == "SUCCESS"


async def test_a_waiting_task_that_was_cancelled_never_starts(shop: httpx2.AsyncClient, tmp_path: Path) -> None:
    running = await queue_wait(tmp_path / "first")
    await until(lambda: exists(tmp_path / "first"))
    waiting = await queue_wait(tmp_path / "second")
    await shop.delete(waiting)
    await shop.delete(running)
    assert (await run_task(shop, "users.update_stats"))["status"] == "SUCCESS"
    assert not await exists(tmp_path / "second")
    assert (await shop.get(waiting)).json()["status"] == "REVOKED"


async def test_an_entry_of_the_schedule_is_queued_run_and_noted(shop: httpx2.AsyncClient, tmp_path: Path) -> None:
    scheduler = Scheduler(celery_app)
    queued = scheduler.apply_async(scheduler.schedule["heartbeat"])
    scheduler.close()

    with Redis.from_url(database_url(15)) as results:
        await until(lambda: asyncio.to_thread(results.get, result_key(queued.id)))
    entries = {entry["name"]: entry for entry in (await shop.get("/api/v1/schedule")).json()}
    assert entries["heartbeat"]["last_run"]


async def test_the_log_of_the_worker_has_the_request_id(shop: httpx2.AsyncClient, worker_log: Path) -> None:
    request_id = "0198c7a46f0e4b6e9f2e6a1d5b7c9e10"
    queued = await shop.post(f"{TASKS}/users.update_stats", headers={"X-Request-ID": request_id})
    task_id = queued.json()["task_id"]
    await outcome(shop, queued.headers["Location"])

    async def told() -> list[str]:
        text = await asyncio.to_thread(worker_log.read_text)
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        events = [line["event"] for line in lines if line.get("request_id") == request_id]
        assert {line["task_id"] for line in lines if line.get("request_id") == request_id} <= {task_id}
        return events if "task succeeded" in events else []

    assert await until(told) == ["task started", "task succeeded"]


async def test_arguments_that_do_not_fit_fail_at_once(shop: httpx2.AsyncClient) -> None:
    task_id = await task_queue.get().enqueue(NewTask(wait, {"started": 7}, owner="shop"))
    task = await outcome(shop, f"{TASKS}/{task_id}")
    assert (task["status"], task["retries"]) == ("FAILURE", 0)
    assert task["error"]["type"] == "ArgumentsError"
    assert task["error"]["message"].startswith("started: ")


async def test_what_is_no_message_keeps_no_worker_from_working(shop: httpx2.AsyncClient) -> None:
    with Redis.from_url(database_url(14)) as broker:
        broker.lpush("high_priority", "no JSON", "{}", "7")
        assert (await run_task(shop, "users.update_stats"))["status"] == "SUCCESS"
        assert broker.llen("high_priority") == 0


async def test_a_worker_is_seen_by_its_heartbeat(shop: httpx2.AsyncClient) -> None:
    async def seen() -> list[str]:
        workers: list[str] = (await shop.get("/health/celery")).json()["workers"]
        return workers

    (worker,) = await until(seen)
    assert worker == f"celery@{socket.gethostname()}"
    assert (await shop.get("/health/celery")).status_code == 200
