"""The course of a task as server-sent events: `GET /tasks/{task_id}/events`."""

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from redis import Redis
from sse_starlette import EventSourceResponse

from app.api.routes import task_events
from app.core.celery import celery_app
from app.core.config.task_api import get_task_api_settings
from app.core.task_keys import result_key
from app.core.task_queue import task_queue
from app.main import app
from tests.fixtures.celery import bearer

pytestmark = pytest.mark.usefixtures("redis_server")

TASKS = "/api/v1/tasks"
BACKEND: Any = celery_app.backend
PATIENCE = 15.0
Event = dict[str, str]


class Reader:
    """One who reads a stream event by event, as the server sends it."""

    def __init__(self, task_id: str, **headers: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.takes = asyncio.Event()
        """Unset, it lets the server wait."""
        self.takes.set()
        self._text = ""
        self._arrived = asyncio.Event()
        self._gone = asyncio.Event()
        sent = bearer("shop") | headers
        self._scope = {
            "type": "http",
            "method": "GET",
            "path": f"{TASKS}/{task_id}/events",
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        }

    async def read(self) -> None:
        await app(self._scope, self._receive, self._take)

    def leave(self) -> None:
        self._gone.set()

    async def next(self) -> Event:
        """The next event."""
        async with asyncio.timeout(PATIENCE):
            while "\n\n" not in self._text:
                self._arrived.clear()
                await self._arrived.wait()
        text, self._text = self._text.split("\n\n", 1)
        return dict(line.split(": ", 1) for line in text.splitlines())

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _take(self, message: Any) -> None:
        await self.takes.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        self._text += message.get("body", b"").decode()
        self._arrived.set()


@asynccontextmanager
async def reading(task_id: str, **headers: str) -> AsyncIterator[Reader]:
    reader = Reader(task_id, **headers)
    stream = asyncio.create_task(reader.read())
    yield reader
    reader.leave()
    await asyncio.wait_for(stream, PATIENCE)


async def queue_task(client: httpx2.AsyncClient) -> str:
    task_id: str = (await client.post(f"{TASKS}/users.update_stats")).json()["task_id"]
    return task_id


async def store(task_id: str, state: str, result: Any = None) -> None:
    await asyncio.to_thread(BACKEND.store_result, task_id, result, state)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.01)


def is_watched(results: Redis, task_id: str) -> bool:
    ((_, number),) = results.pubsub_numsub(result_key(task_id))
    return bool(number)


async def test_a_stream_tells_each_state_and_ends_with_the_task(shop: httpx2.AsyncClient) -> None:
    task_id = await queue_task(shop)
    async with reading(task_id) as reader:
        events = [await reader.next()]
        for state in ("STARTED", "PROGRESS", "SUCCESS"):
            await store(task_id, state, {"percent": 7})
            events.append(await reader.next())
    assert [event["event"] for event in events] == ["state", "state", "state", "end"]
    assert [json.loads(event["data"])["status"] for event in events] == ["PENDING", "STARTED", "PROGRESS", "SUCCESS"]
    assert len({event["id"] for event in events}) == 4
    assert json.loads(events[-1]["data"]) == (await shop.get(f"{TASKS}/{task_id}")).json()


async def test_the_answer_is_a_stream_that_nobody_buffers(shop: httpx2.AsyncClient) -> None:
    task_id = await queue_task(shop)
    async with reading(task_id) as reader:
        await reader.next()
    assert reader.status == 200
    assert reader.headers["content-type"].startswith("text/event-stream")
    assert reader.headers["cache-control"] == "no-store"
    assert reader.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize("end", ["SUCCESS", "REVOKED"])
async def test_of_a_task_that_has_ended_only_the_end_is_told(shop: httpx2.AsyncClient, end: str) -> None:
    task_id = await queue_task(shop)
    await store(task_id, end)
    answer = await shop.get(f"{TASKS}/{task_id}/events")
    assert answer.status_code == 200
    assert [line for line in answer.text.splitlines() if line.startswith("event:")] == ["event: end"]


async def test_who_has_seen_the_end_is_told_to_stop(shop: httpx2.AsyncClient) -> None:
    task_id = await queue_task(shop)
    await store(task_id, "SUCCESS")
    async with reading(task_id) as reader:
        seen = (await reader.next())["id"]
    answer = await shop.get(f"{TASKS}/{task_id}/events", headers={"Last-Event-ID": seen})
    assert (answer.status_code, answer.content) == (204, b"")


async def test_who_has_seen_the_present_state_is_told_the_next_one(shop: httpx2.AsyncClient, results: Redis) -> None:
    task_id = await queue_task(shop)
    async with reading(task_id) as reader:
        seen = (await reader.next())["id"]
    async with reading(task_id, **{"Last-Event-ID": seen}) as reader:
        await until(lambda: is_watched(results, task_id))
        await store(task_id, "STARTED")
        assert json.loads((await reader.next())["data"])["status"] == "STARTED"


@pytest.mark.parametrize("seen", ["0-PENDING", "7-SUCCESS", "", "what?", "é", "9" * 5000])
async def test_who_has_seen_something_else_is_told_the_present_state(shop: httpx2.AsyncClient, seen: str) -> None:
    task_id = await queue_task(shop)
    await store(task_id, "STARTED")
    async with reading(task_id, **{"Last-Event-ID": seen}) as reader:
        assert json.loads((await reader.next())["data"])["status"] == "STARTED"


async def test_a_reader_that_goes_away_leaves_nothing(shop: httpx2.AsyncClient, results: Redis) -> None:
    task_id = await queue_task(shop)
    before = asyncio.all_tasks()
    async with reading(task_id) as reader:
        await reader.next()
        await until(lambda: is_watched(results, task_id))
        assert task_events.Streams.open == 1
    await until(lambda: not is_watched(results, task_id))
    assert task_events.Streams.open == 0
    left = {task.get_name() for task in asyncio.all_tasks() - before if "_shutdown_watcher" not in str(task)}
    assert left <= {"task watch"}


async def test_a_reader_that_takes_nothing_is_left(
    shop: httpx2.AsyncClient, results: Redis, monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[dict[str, Any]]]
) -> None:
    monkeypatch.setattr(task_events, "PATIENCE_SECONDS", 0.1)
    task_id = await queue_task(shop)
    async with reading(task_id) as reader:
        await reader.next()
        reader.takes.clear()
        await until(lambda: is_watched(results, task_id))
        await store(task_id, "STARTED")
        await until(lambda: task_events.Streams.open == 0)
    await until(lambda: not is_watched(results, task_id))
    assert "a reader of events took nothing and was left" in [event["event"] for event in log()]


async def test_a_slow_reader_gets_the_end_and_not_every_step(shop: httpx2.AsyncClient, results: Redis) -> None:
    task_id = await queue_task(shop)
    async with reading(task_id) as slow, reading(task_id) as reader:
        slow.takes.clear()
        await until(lambda: is_watched(results, task_id))
        for step in range(20):
            await store(task_id, "PROGRESS", {"step": step})
        await store(task_id, "SUCCESS")
        while (await reader.next())["event"] != "end":
            pass
        slow.takes.set()
        events = [await slow.next()]
        while events[-1]["event"] != "end":
            events.append(await slow.next())
    assert len(events) < 5


async def test_a_stream_on_which_nothing_happens_has_heartbeats(
    shop: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert task_events.HEARTBEAT_SECONDS == 15
    monkeypatch.setattr(task_events, "HEARTBEAT_SECONDS", 0.05)
    async with reading(await queue_task(shop)) as reader:
        await reader.next()
        assert list(await reader.next()) == [""]  # a comment


async def test_more_streams_than_are_allowed_are_refused_until_one_closes(
    shop: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = get_task_api_settings().model_copy(update={"streams": 2})
    monkeypatch.setattr(task_events, "get_task_api_settings", lambda: settings)
    task_id = await queue_task(shop)
    async with reading(task_id) as first:
        async with reading(task_id) as second:
            await first.next()
            await second.next()
            answer = await shop.get(f"{TASKS}/{task_id}/events")
            assert answer.status_code == 503
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert int(answer.headers["Retry-After"]) > 0
        async with reading(task_id) as third:
            await third.next()
            assert third.status == 200


async def test_an_unknown_task_and_that_of_another_have_no_stream(client: httpx2.AsyncClient) -> None:
    queued = await client.post(f"{TASKS}/users.update_stats", headers=bearer("farm"))
    for task_id in (queued.json()["task_id"], str(uuid.uuid4()), "none"):
        answer = await client.get(f"{TASKS}/{task_id}/events", headers=bearer("shop"))
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert task_events.Streams.open == 0


async def test_without_a_key_there_is_no_stream(client: httpx2.AsyncClient) -> None:
    assert (await client.get(f"{TASKS}/{uuid.uuid4()}/events")).status_code == 401


async def test_a_signal_ends_streams_and_goes_on_to_the_server(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: told.append(number))
    try:
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://test") as client,
        ):
            client.headers.update(bearer("shop"))
            asked = asyncio.create_task(client.get(f"{TASKS}/{await queue_task(client)}/events"))
            await until(lambda: task_events.Streams.open == 1)
            signal.raise_signal(signal.SIGTERM)
            answer = await asyncio.wait_for(asked, PATIENCE)
        assert answer.text.count("event: state") == 1
        assert told == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
        assert told == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_streams_end_when_watching_does(shop: httpx2.AsyncClient, results: Redis) -> None:
    task_id = await queue_task(shop)
    asked = asyncio.create_task(shop.get(f"{TASKS}/{task_id}/events"))
    await until(lambda: is_watched(results, task_id))
    task_queue.get().end_watching()
    answer = await asyncio.wait_for(asked, PATIENCE)
    assert answer.text.count("event: ") == 1


def test_the_stream_is_documented() -> None:
    answers = app.openapi()["paths"][TASKS + "/{task_id}/events"]["get"]["responses"]
    assert list(answers["200"]["content"]) == ["text/event-stream"]
    assert {"204", "401", "404", "503"} <= set(answers)
    assert issubclass(task_events.EventStream, EventSourceResponse)
