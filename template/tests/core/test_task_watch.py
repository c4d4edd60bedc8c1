"""How those who watch tasks learn of each step."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis import Redis

from app.core import task_watch
from app.core.celery import celery_app
from app.core.redis import open_redis
from app.core.task_keys import result_key
from app.core.task_watch import TaskWatch, Watcher
from tests.fixtures.redis import database_url

BACKEND: Any = celery_app.backend
TASK = "0198c7a4"
PATIENCE = 10.0


@pytest.fixture
async def watch(redis_server: None) -> AsyncIterator[TaskWatch]:
    async with open_redis(database_url(15), patience=5, max_connections=5) as client:
        watch = TaskWatch(client)
        yield watch
        await watch.aclose()


@pytest.fixture
def subscribers(results: Redis) -> Callable[[], int]:
    """How many connections are subscribed to a task's channel."""

    def count() -> int:
        ((_, number),) = results.pubsub_numsub(result_key(TASK))
        return int(number)

    return count


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 (Redis tells nobody)
            await asyncio.sleep(0.01)


async def store(state: str, task_id: str = TASK, result: Any = None) -> None:
    await asyncio.to_thread(BACKEND.store_result, task_id, result, state)


async def told(watcher: Watcher) -> str:
    async with asyncio.timeout(PATIENCE):
        return str(json.loads(await anext(watcher))["status"])


async def test_each_state_is_told_as_it_is_stored(watch: TaskWatch) -> None:
    with watch.watch(TASK) as watcher:
        for state in ("STARTED", "PROGRESS", "RETRY", "SUCCESS"):
            await store(state)
            assert await told(watcher) == state


async def test_what_was_stored_before_the_subscription_is_told(watch: TaskWatch) -> None:
    await store("SUCCESS")
    with watch.watch(TASK) as watcher:
        assert await told(watcher) == "SUCCESS"


async def test_a_slow_watcher_gets_the_newest_state_alone(watch: TaskWatch) -> None:
    with watch.watch(TASK) as slow, watch.watch(TASK) as watcher:
        for state in ("STARTED", "PROGRESS", "SUCCESS"):
            await store(state)
            assert await told(watcher) == state
        assert await told(slow) == "SUCCESS"


async def test_who_comes_later_is_told_what_the_others_know(watch: TaskWatch) -> None:
    with watch.watch(TASK) as first:
        await store("PROGRESS")
        await told(first)
        with watch.watch(TASK) as second:
            assert await told(second) == "PROGRESS"


async def test_who_comes_right_after_the_last_has_gone_is_told_too(watch: TaskWatch) -> None:
    with watch.watch(TASK) as first:
        await store("PROGRESS")
        await told(first)
    with watch.watch(TASK) as second:
        assert await told(second) == "PROGRESS"
        await store("SUCCESS")
        assert await told(second) == "SUCCESS"


async def test_each_watcher_hears_of_its_own_task(watch: TaskWatch) -> None:
    with watch.watch("one") as one, watch.watch("other") as other:
        await store("SUCCESS", "other")
        assert await told(other) == "SUCCESS"
        await store("STARTED", "one")
        assert await told(one) == "STARTED"


async def test_more_tasks_than_fit_on_a_page_are_all_read(watch: TaskWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_watch, "PAGE", 3)
    ids = [f"task-{number}" for number in range(10)]
    for task_id in ids:
        await store("SUCCESS", task_id)

    async def watch_one(task_id: str) -> str:
        with watch.watch(task_id) as watcher:
            return await told(watcher)

    assert await asyncio.gather(*map(watch_one, ids)) == ["SUCCESS"] * len(ids)


async def test_nothing_connects_before_the_first_watcher(refusing_url: str) -> None:
    async with open_redis(refusing_url, patience=1, max_connections=5) as client:
        watch = TaskWatch(client)
        await asyncio.sleep(0)
        assert watch._listening is None
        await watch.aclose()


async def test_the_last_watcher_leaves_no_channel_and_soon_no_connection(
    watch: TaskWatch, subscribers: Callable[[], int], results: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_watch, "QUIET_SECONDS", 0.1)
    with watch.watch(TASK) as first:
        with watch.watch(TASK):
            await store("STARTED")
            await told(first)
            assert subscribers() == 1
        await store("PROGRESS")
        assert await told(first) == "PROGRESS"
        assert subscribers() == 1
    await until(lambda: subscribers() == 0)
    listening = watch._listening
    assert listening
    await asyncio.wait_for(listening, PATIENCE)
    assert (watch._watched, watch._unread) == ({}, set())
    with watch.watch(TASK) as again:
        assert await told(again) == "PROGRESS"


async def test_a_watcher_that_is_cancelled_leaves_nothing(watch: TaskWatch, subscribers: Callable[[], int]) -> None:
    async def wait() -> None:
        with watch.watch(TASK) as watcher:
            await anext(watcher)

    waiting = asyncio.create_task(wait())
    await until(lambda: subscribers() == 1)
    waiting.cancel()
    await until(lambda: subscribers() == 0)
    assert watch._watched == {}


async def test_the_end_of_all_watching_ends_each_watcher_and_those_to_come(watch: TaskWatch) -> None:
    with watch.watch(TASK) as watcher:
        await store("PROGRESS")
        await told(watcher)
        watch.end()
        with pytest.raises(StopAsyncIteration):
            await anext(watcher)
    with watch.watch(TASK) as late, pytest.raises(StopAsyncIteration):
        await anext(late)


async def test_a_connection_that_was_cut_is_made_anew_and_what_came_meanwhile_is_told(
    watch: TaskWatch, results: Redis, monkeypatch: pytest.MonkeyPatch, real_redis: None
) -> None:
    monkeypatch.setattr(task_watch, "PAUSE_SECONDS", 0.2)
    with watch.watch(TASK) as watcher:
        await store("STARTED")
        await told(watcher)
        results.client_kill_filter(_type="pubsub", skipme=True)
        results.set(result_key(TASK), json.dumps({"status": "SUCCESS"}))  # and nothing is published
        assert await told(watcher) == "SUCCESS"


async def test_a_server_that_hangs_is_noticed(
    hanging_url: str, watch: TaskWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch tries again and again, and goes when its last watcher does."""
    monkeypatch.setattr(task_watch, "PAUSE_SECONDS", 0.01)
    async with open_redis(hanging_url, patience=0.05, max_connections=5) as client:
        watch = TaskWatch(client)
        with watch.watch(TASK) as watcher, pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(watcher)
        listening = watch._listening
        assert listening
        await asyncio.wait_for(listening, PATIENCE)
        await watch.aclose()


async def test_a_late_answer_does_not_replace_what_was_told_since(
    watch: TaskWatch, results: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = watch._results.mget
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def read_late(keys: list[str]) -> Any:
        answer = await read(keys)
        asked.set()
        await go_on.wait()
        return answer

    monkeypatch.setattr(watch._results, "mget", read_late)
    await store("STARTED")
    with watch.watch(TASK) as watcher:
        await asyncio.wait_for(asked.wait(), PATIENCE)
        await store("SUCCESS")
        assert await told(watcher) == "SUCCESS"
        go_on.set()
        monkeypatch.undo()
        with watch.watch("other") as other:
            await store("STARTED", "other")
            await told(other)
        assert watcher._newest is not None
        assert json.loads(watcher._newest)["status"] == "SUCCESS"
