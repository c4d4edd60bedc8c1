"""Celery's way to the steps of a delivery, on which a worker drops what is no Celery message and goes on."""

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from celery import Celery
from celery.worker import state
from kombu import Connection, Consumer, Queue
from redis import Redis

from app.core.celery import celery_app
from app.core.redis_transport import Channel, Transport
from app.core.task_delivery import Deliveries, Received
from app.core.task_keys import record_key
from app.core.task_message import MessageBuilder, NewTask
from app.core.task_record import note_start
from app.tasks import system
from tests.fixtures.redis import database_url

MESSAGE: dict[str, Any] = {
    "body": "W10=",
    "headers": {},
    "content-type": "application/json",
    "content-encoding": "utf-8",
    "properties": {
        "delivery_tag": "tag",
        "delivery_info": {"exchange": "", "routing_key": "default"},
        "body_encoding": "base64",
    },
}


def without(*path: str) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(json.dumps(MESSAGE))
    place = message
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return message


def test_celery_uses_it() -> None:
    assert issubclass(Connection(database_url(14)).get_transport_cls(), Transport)
    assert isinstance(celery_app, Celery)


# reading


@pytest.fixture
def settled() -> list[str]:
    return []


@pytest.fixture
def channel(settled: list[str]) -> Channel:
    """On which a message is read, without a connection."""
    channel: Any = Channel.__new__(Channel)
    channel._closed = True
    channel.deliveries = SimpleNamespace(settle=settled.append)
    return cast(Channel, channel)


@pytest.mark.parametrize(("delivery", "tag"), [("tag/7", "tag/7"), (None, "tag")])
def test_a_message_goes_by_the_name_of_its_delivery(
    channel: Channel, settled: list[str], delivery: str | None, tag: str
) -> None:
    message = channel._read(Received("default", json.dumps(MESSAGE).encode(), delivery))
    assert message == MESSAGE | {"properties": MESSAGE["properties"] | {"delivery_tag": tag}}
    assert settled == []


@pytest.mark.parametrize(
    "junk",
    [
        7,
        None,
        "text",
        [],
        {},
        without("properties"),
        without("headers"),
        without("properties", "delivery_tag"),
        without("properties", "delivery_info"),
        without("properties", "delivery_info", "routing_key"),
        MESSAGE | {"headers": None},
        MESSAGE | {"properties": "text"},
        MESSAGE | {"body": "x"},
        MESSAGE | {"body": 7},
    ],
)
def test_what_is_no_message_is_dropped_settled_and_logged(
    channel: Channel, settled: list[str], log: Callable[[], list[dict[str, Any]]], junk: object
) -> None:
    assert channel._read(Received("default", json.dumps(junk).encode(), "tag/1")) is None
    assert settled == ["tag/1"]
    assert [event["event"] for event in log()] == ["dropped what is no message from a queue"]


@pytest.mark.parametrize("tag", ["ä", "two\nlines", "tag"])
def test_a_task_that_redis_could_not_read_is_dropped_and_logged(
    channel: Channel, settled: list[str], log: Callable[[], list[dict[str, Any]]], tag: str
) -> None:
    """Redis has handed it out without a delivery, so nobody holds it."""
    properties = MESSAGE["properties"] | {"delivery_tag": tag}
    task = MESSAGE | {"headers": {"id": "task"}, "properties": properties}
    assert channel._read(Received("default", json.dumps(task).encode(), None)) is None
    assert settled == []
    (event,) = log()
    assert (event["level"], event["queue"]) == ("error", "default")
    assert "no plain text" in event["error"]


@pytest.mark.parametrize("junk", [b"no JSON", b"\xff\xfe", b"", b"7", b'{"body": 1}'])
def test_a_message_behind_junk_is_received(broker: Redis, junk: bytes, log: Callable[[], list[dict[str, Any]]]) -> None:
    broker.lpush("default", junk)
    with Connection(database_url(14)) as connection:
        queue = connection.SimpleQueue("default")
        queue.put({"number": 7})
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
    assert message.payload == {"number": 7}
    assert [event["level"] for event in log() if event["event"].startswith("dropped")] == ["error"]


@pytest.mark.parametrize(
    "task",
    [
        {"headers": {"id": "junk"}, "properties": {"delivery_tag": "tag"}},
        MESSAGE | {"headers": {"id": "\udcff"}},
        MESSAGE | {"headers": {"id": "task"}, "properties": MESSAGE["properties"] | {"delivery_tag": "ä"}},
    ],
)
def test_junk_that_has_a_tag_and_an_id_is_not_held(
    broker: Redis, task: dict[str, Any], log: Callable[[], list[dict[str, Any]]]
) -> None:
    broker.lpush("default", json.dumps(task, ensure_ascii=False).encode(errors="surrogateescape"))
    with Connection(database_url(14)) as connection:
        queue = connection.SimpleQueue("default")
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.2)
        queue.close()
    assert not broker.exists("unacked", "unacked_index", "default")
    assert [event["level"] for event in log()] == ["error"]


# a worker's channel

TASK_ID = "0198c7a4"
RECORD = record_key(TASK_ID)


class Worker:
    """As much of one as receives messages."""

    def __init__(self) -> None:
        self.connection = Connection(database_url(14))
        self.messages: list[Any] = []
        self._channel: Any = self.connection.channel()
        consumer = Consumer(self._channel, [Queue("default")], on_message=self.messages.append)
        consumer.consume()

    def receive(self) -> Any:
        while not self.messages:
            self.connection.drain_events(timeout=5)
        return self.messages.pop()

    @property
    def held(self) -> list[str]:
        return list(self._channel.qos.held())

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def worker(deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A task is queued for it."""
    built = MessageBuilder(celery_app).task(NewTask(system.heartbeat, {}))
    built.message["headers"]["id"] = TASK_ID
    deliveries.push("default", built.message, {})
    monkeypatch.setattr("app.core.redis_transport.leases", SimpleNamespace(follow=lambda _: None))
    worker = Worker()
    yield worker
    worker.connection.release()


def test_a_worker_holds_the_delivery_that_it_received(worker: Worker, broker: Redis) -> None:
    message = worker.receive()
    assert worker.held == [message.delivery_tag] == broker.hkeys("unacked")
    assert message.properties["delivery_tag"] == message.delivery_tag == broker.hget(RECORD, "delivery")


def test_what_is_acknowledged_is_settled(worker: Worker, broker: Redis) -> None:
    worker.receive().ack()
    assert worker.held == []
    assert not broker.exists("unacked", "default", "tasks:open")


def test_what_is_rejected_is_settled(worker: Worker, broker: Redis) -> None:
    worker.receive().reject()
    assert worker.held == []
    assert not broker.exists("unacked", "default", "tasks:open")


def test_what_is_requeued_is_given_back_and_received_by_another_name(worker: Worker, broker: Redis) -> None:
    first = worker.receive()
    first.requeue()
    assert worker.held == []
    assert broker.llen("default") == 1
    second = worker.receive()
    assert second.delivery_tag != first.delivery_tag
    assert worker.held == [second.delivery_tag]


@pytest.mark.parametrize("terminates", [None, True])
def test_what_waits_is_handed_back_when_the_channel_is_closed(
    worker: Worker, broker: Redis, monkeypatch: pytest.MonkeyPatch, terminates: bool | None
) -> None:
    monkeypatch.setattr(state, "should_terminate", terminates)
    worker.receive()
    worker.close()
    assert not broker.exists("unacked", "unacked_index")
    assert broker.llen("default") == 1
    assert not broker.hexists(RECORD, "starts:0")


def test_what_runs_is_kept_when_the_connection_is_lost_and_acknowledged_later(worker: Worker, broker: Redis) -> None:
    message = worker.receive()
    note_start(TASK_ID, 0, message.delivery_tag)
    worker.close()
    assert broker.hkeys("unacked") == [message.delivery_tag]
    message.ack()
    assert not broker.exists("unacked", "default", "tasks:open")


def test_what_a_cold_shutdown_breaks_off_is_handed_back(
    worker: Worker, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = worker.receive()
    note_start(TASK_ID, 0, message.delivery_tag)
    monkeypatch.setattr(state, "should_terminate", 1)
    worker.close()
    assert not broker.exists("unacked", "unacked_index")
    assert broker.llen("default") == 1
    assert broker.hget(RECORD, "starts:0") == "0"


def test_a_worker_that_wakes_up_settles_nothing_that_another_holds(
    worker: Worker, deliveries: Deliveries, broker: Redis
) -> None:
    lapsed = worker.receive()
    deliveries.give_back(lapsed.delivery_tag)
    received = deliveries.receive(["default"])
    assert received
    lapsed.ack()
    worker.close()
    assert broker.hkeys("unacked") == [received.delivery]
    assert broker.zcard("tasks:open") == 1
