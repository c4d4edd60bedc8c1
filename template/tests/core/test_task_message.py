"""Messages that are built without a connection are those that Celery would have sent."""

import json
from typing import Any

import pytest
from asgi_correlation_id import correlation_id
from celery import Task
from kombu.utils.json import dumps
from redis import Redis

from app.core.celery import celery_app
from app.core.task_message import MessageBuilder
from app.tasks import reports, system, users

PRIORITY = "\x06\x16{}"


@pytest.fixture
def messages() -> MessageBuilder:
    return MessageBuilder(celery_app)


def comparable(payload: str) -> dict[str, Any]:
    """Without what differs from one sending to the next."""
    task_id = json.loads(payload)["headers"]["id"]
    message: dict[str, Any] = json.loads(payload.replace(task_id, "TASK"))
    message["properties"] |= {"delivery_tag": None, "reply_to": None}
    return message


@pytest.mark.parametrize(
    ("task", "kwargs", "key"),
    [
        (system.heartbeat, {}, "high_priority"),
        (users.update_stats, {"day": "2026-05-04"}, "default" + PRIORITY.format(3)),
        (reports.activity, {"days": 7}, "low_priority" + PRIORITY.format(6)),
        (users.cleanup, {"unused_for_days": 90}, "low_priority" + PRIORITY.format(9)),
    ],
)
def test_a_message_is_the_one_that_apply_async_sends(
    messages: MessageBuilder, broker: Redis, task: Task[..., Any], kwargs: dict[str, Any], key: str
) -> None:
    built = messages.task(task, kwargs)
    task.apply_async(kwargs=kwargs)
    (sent,) = broker.lrange(key, 0, -1)
    assert built.key == key
    assert comparable(dumps(built.message)) == comparable(str(sent))


def test_a_revocation_is_the_one_that_revoke_sends(messages: MessageBuilder, broker: Redis) -> None:
    with broker.pubsub() as listener:  # type: ignore[no-untyped-call]  # redis-py
        listener.psubscribe("*pidbox*")
        listener.get_message(timeout=5)
        celery_app.control.revoke("TASK", terminate=True)
        sent = listener.get_message(timeout=5)
    built = messages.revoke("TASK")
    assert built.key == sent["channel"]
    there, here = json.loads(sent["data"]), built.message
    assert here["properties"]["delivery_info"] == there["properties"]["delivery_info"]
    assert here["properties"]["body_encoding"] == there["properties"]["body_encoding"]
    assert here["content-type"] == there["content-type"]


def test_each_message_has_an_id_of_its_own(messages: MessageBuilder) -> None:
    ids = {messages.task(system.heartbeat, {}).message["headers"]["id"] for _ in range(10)}
    assert len(ids) == 10


def test_the_request_id_travels_with_the_message(messages: MessageBuilder) -> None:
    token = correlation_id.set("0198c7a4")
    try:
        built = messages.task(system.heartbeat, {})
    finally:
        correlation_id.reset(token)
    assert built.message["headers"]["request_id"] == "0198c7a4"
