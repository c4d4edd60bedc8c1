"""Messages that are built without a connection are those that Celery would have sent."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from asgi_correlation_id import correlation_id
from celery import Task
from kombu.utils.json import dumps
from redis import Redis

from app.core.celery import celery_app
from app.core.task_message import MessageBuilder, NewTask
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
    built = messages.task(NewTask(task, kwargs))
    task.apply_async(kwargs=kwargs)
    (sent,) = broker.lrange(key, 0, -1)
    assert built.key == key
    assert comparable(dumps(built.message)) == comparable(str(sent))


def test_each_message_has_an_id_of_its_own(messages: MessageBuilder) -> None:
    ids = {messages.task(NewTask(system.heartbeat, {})).message["headers"]["id"] for _ in range(10)}
    assert len(ids) == 10


def test_the_request_id_travels_with_the_message(messages: MessageBuilder) -> None:
    token = correlation_id.set("0198c7a4")
    try:
        built = messages.task(NewTask(system.heartbeat, {}))
    finally:
        correlation_id.reset(token)
    assert built.message["headers"]["request_id"] == "0198c7a4"


def test_its_owner_travels_with_the_message_and_no_further(messages: MessageBuilder) -> None:
    built = [messages.task(NewTask(system.heartbeat, {}, owner=owner)) for owner in ("shop", None)]
    assert [one.message["headers"]["owner"] for one in built] == ["shop", None]


def test_it_may_be_put_off_and_go_before_others(messages: MessageBuilder) -> None:
    start_at = datetime(2100, 5, 4, tzinfo=UTC)
    built = messages.task(NewTask(users.update_stats, {}, eta=start_at, priority=9))
    assert datetime.fromisoformat(built.message["headers"]["eta"]) == start_at
    assert built.key == "default"
    assert messages.task(NewTask(users.update_stats, {}, priority=0)).key == "default" + PRIORITY.format(9)


def test_arguments_that_were_given_by_their_place_stay_in_it(messages: MessageBuilder) -> None:
    built = messages.task(NewTask(celery_app.tasks["celery.accumulate"], {}, args=(7,)))
    assert json.loads(base64.b64decode(built.message["body"]))[:2] == [[7], {}]
