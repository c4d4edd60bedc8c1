"""The schedule over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from redis import Redis

from app.core.celery import celery_app
from app.core.task_keys import LAST_RUNS

pytestmark = pytest.mark.usefixtures("redis_server")


async def read(shop: httpx2.AsyncClient) -> dict[str, dict[str, Any]]:
    answer = await shop.get("/api/v1/schedule")
    assert answer.status_code == 200, answer.text
    return {entry["name"]: entry for entry in answer.json()}


async def test_each_entry_is_listed_with_its_task_and_next_run(shop: httpx2.AsyncClient) -> None:
    entries = await read(shop)
    assert {name: entry["task"] for name, entry in entries.items()} == {
        name: entry["task"] for name, entry in celery_app.conf.beat_schedule.items()
    }
    for entry in entries.values():
        assert entry["schedule"]
        assert entry["last_run"] is None
        assert datetime.fromisoformat(entry["next_run"]) > datetime.now(UTC) - timedelta(seconds=1)


async def test_a_crontab_runs_next_at_its_time_of_day(shop: httpx2.AsyncClient) -> None:
    next_run = datetime.fromisoformat((await read(shop))["clean up unused accounts"]["next_run"])
    assert (next_run.hour, next_run.minute, next_run.second) == (3, 30, 0)
    assert timedelta(0) < next_run - datetime.now(UTC) <= timedelta(days=1)


async def test_an_interval_runs_next_so_long_after_its_last_run(shop: httpx2.AsyncClient, results: Redis) -> None:
    last = datetime.now(UTC) - timedelta(seconds=10)
    results.hset(LAST_RUNS, "heartbeat", last.isoformat())
    entry = (await read(shop))["heartbeat"]
    assert datetime.fromisoformat(entry["last_run"]) == last
    assert abs(datetime.fromisoformat(entry["next_run"]) - last - timedelta(seconds=30)) <= timedelta(seconds=2)


async def test_an_entry_that_beat_has_missed_is_due_now(shop: httpx2.AsyncClient, results: Redis) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1000)
    results.hset(LAST_RUNS, mapping=dict.fromkeys(celery_app.conf.beat_schedule, long_ago.isoformat()))
    for entry in (await read(shop)).values():
        assert abs(datetime.fromisoformat(entry["next_run"]) - datetime.now(UTC)) <= timedelta(seconds=2)
