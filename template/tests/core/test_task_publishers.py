"""Sending through Celery's own blocking calls, for brokers other than Redis."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from asgi_correlation_id import correlation_id
from celery import Celery, Task
from kombu import Queue
from kombu.exceptions import OperationalError
from redis import Redis

from app.core.celery import celery_app
from app.core.config.celery import get_celery_settings
from app.core.redis import open_redis
from app.core.resources import UnavailableError
from app.core.task_message import NewTask
from app.core.task_publishers import Claim, KombuPublisher
from app.core.task_queue import TaskQueue, TooManyTasksError
from app.core.worker_redis import results_client

CLAIM = Claim("idempotency:shop:key", "the same", 60)


@pytest.fixture
def other_app() -> Iterator[Celery[Any]]:
    """On a broker that is not Redis: this process's memory."""
    app: Celery[Any] = Celery("other", broker="memory://", set_as_current=False)
    app.conf.update(task_queues=[Queue("other")], task_default_queue="other")
    yield app
    app.control.purge()
    app.close()


@pytest.fixture
def add(other_app: Celery[Any]) -> Task[..., Any]:
    @other_app.task(name="numbers.add", shared=False)
    def add(*, first: int, second: int) -> int:
        return first + second

    task: Task[..., Any] = other_app.tasks["numbers.add"]
    assert add.name == task.name
    return task


@pytest.fixture
async def queue(other_app: Celery[Any], results: Redis) -> AsyncIterator[TaskQueue]:
    url = get_celery_settings().result_backend
    async with open_redis(url, patience=2, max_connections=5) as records:
        yield TaskQueue(KombuPublisher(other_app, records, patience=2), records, records, deadline=2)


@pytest.fixture
def publish_with(add: Task[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Let something happen in place of Celery's sending."""

    def replace(call: Callable[[], None]) -> None:
        monkeypatch.setattr(add, "apply_async", lambda *_, **__: call())

    return replace


async def test_a_task_is_sent_and_known(queue: TaskQueue, add: Task[..., Any], other_app: Celery[Any]) -> None:
    task_id = await queue.enqueue(NewTask(add, {"first": 1, "second": 2}))
    with other_app.connection_for_read() as connection:
        message = connection.SimpleQueue("other").get(timeout=2)
        message.ack()
    assert message.headers["id"] == task_id
    assert message.payload[1] == {"first": 1, "second": 2}
    found = await queue.find(task_id)
    assert found
    assert (found.name, found.status) == ("numbers.add", "PENDING")


async def test_the_depth_is_the_number_of_waiting_messages(queue: TaskQueue, add: Task[..., Any]) -> None:
    for number in range(3):
        await queue.enqueue(NewTask(add, {"first": number, "second": number}))
    depth = await queue.depth()
    assert depth.waiting == {"other": 3}
    assert depth.unacknowledged is None


async def test_a_cancelled_task_is_known_as_revoked(queue: TaskQueue, add: Task[..., Any]) -> None:
    task_id = await queue.enqueue(NewTask(add, {"first": 1, "second": 2}))
    waiting = await queue.find(task_id)
    assert waiting
    assert await queue.cancel(waiting)
    found = await queue.find(task_id)
    assert found
    assert found.status == "REVOKED"


async def test_a_task_that_was_sent_is_not_sent_again_by_its_key(
    queue: TaskQueue, add: Task[..., Any], publish_with: Callable[[Callable[[], None]], None]
) -> None:
    sent: list[None] = []
    publish_with(lambda: sent.append(None))
    ids = {await queue.enqueue(NewTask(add, {}, owner="shop"), claim=CLAIM) for _ in range(2)}
    assert len(ids) == len(sent) == 1


async def test_a_task_of_which_it_is_not_known_whether_it_was_sent_is_sent_again_under_its_id(
    queue: TaskQueue, add: Task[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids: list[str] = []

    def lose_the_first(*_: Any, task_id: str, **__: Any) -> None:
        ids.append(task_id)
        if len(ids) == 1:
            raise OperationalError("no confirmation")

    monkeypatch.setattr(add, "apply_async", lose_the_first)
    with pytest.raises(UnavailableError):
        await queue.enqueue(NewTask(add, {}, owner="shop"), claim=CLAIM)
    assert await queue.enqueue(NewTask(add, {}, owner="shop"), claim=CLAIM) == ids[0]
    assert ids[0] == ids[1]


async def test_an_owner_has_no_more_unfinished_tasks_than_the_limit(
    queue: TaskQueue, add: Task[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rabbitmq = get_celery_settings().model_copy(update={"broker_url": "amqp://127.0.0.1"})
    monkeypatch.setattr("app.core.task_record.get_celery_settings", lambda: rabbitmq)
    monkeypatch.setattr("app.core.task_record.records_client", results_client)
    new = NewTask(add, {"first": 1, "second": 2}, owner="shop")
    await queue.enqueue(new, limit=1)
    with pytest.raises(TooManyTasksError):
        await queue.enqueue(replace(new, task_id="another"), limit=1)
    celery_app.backend.mark_as_done(new.task_id, 3)
    await queue.enqueue(replace(new, task_id="another"), limit=1)


async def test_sending_happens_off_the_event_loop_with_the_request_id(
    queue: TaskQueue, add: Task[..., Any], publish_with: Callable[[Callable[[], None]], None]
) -> None:
    seen: list[tuple[threading.Thread, str | None]] = []
    publish_with(lambda: seen.append((threading.current_thread(), correlation_id.get())))
    token = correlation_id.set("0198c7a4")
    await queue.enqueue(NewTask(add, {}))
    correlation_id.reset(token)
    ((thread, request_id),) = seen
    assert thread is not threading.current_thread()
    assert request_id == "0198c7a4"


async def test_a_broker_that_hangs_is_given_up_in_time(
    other_app: Celery[Any],
    add: Task[..., Any],
    publish_with: Callable[[Callable[[], None]], None],
    results: Redis,
) -> None:
    answered = threading.Event()
    publish_with(lambda: assert_in_time(answered))
    async with open_redis(get_celery_settings().result_backend, patience=2, max_connections=5) as records:
        queue = TaskQueue(KombuPublisher(other_app, records, patience=0.2), records, records, deadline=0.2)
        try:
            async with asyncio.timeout(2):
                with pytest.raises(UnavailableError):
                    await queue.enqueue(NewTask(add, {}))
        finally:
            answered.set()


def assert_in_time(event: threading.Event) -> None:
    assert event.wait(10)


async def test_a_broker_that_is_away_is_unavailable(
    queue: TaskQueue, add: Task[..., Any], publish_with: Callable[[Callable[[], None]], None]
) -> None:
    def refuse() -> None:
        raise OperationalError("refused")

    publish_with(refuse)
    with pytest.raises(UnavailableError):
        await queue.enqueue(NewTask(add, {}))


async def test_a_connection_that_has_failed_is_closed(
    queue: TaskQueue, add: Task[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confirmation that comes too late would be taken for that of the next task."""
    seen = []

    def give_up(*_: Any, connection: Any, **__: Any) -> None:
        connection.connect()
        seen.append(connection)
        raise OperationalError("no confirmation in time")

    monkeypatch.setattr(add, "apply_async", give_up)
    with pytest.raises(UnavailableError):
        await queue.enqueue(NewTask(add, {}))
    (connection,) = seen
    assert not connection.connected
