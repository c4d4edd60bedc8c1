"""A queue may hold what is no Celery message: a worker drops it and goes on."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from kombu import Connection
from redis import Redis

from app.core.celery import celery_app
from app.core.redis_transport import Transport
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


@pytest.fixture
def delivered() -> list[object]:
    return []


@pytest.fixture
def transport(delivered: list[object]) -> Transport:
    transport = Transport.__new__(Transport)
    transport._callbacks = {"default": delivered.append}
    return transport


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


def test_a_message_is_delivered(transport: Transport, delivered: list[object]) -> None:
    transport._deliver(MESSAGE, "default")
    assert delivered == [MESSAGE]


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
def test_what_is_no_message_is_dropped_and_logged(
    transport: Transport, delivered: list[object], log: Callable[[], list[dict[str, Any]]], junk: object
) -> None:
    transport._deliver(junk, "default")
    assert delivered == []
    assert [event["event"] for event in log()] == ["dropped what is no message from a queue"]


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
