"""What the API pushes without blocking is what Celery and kombu would have pushed."""

import json
from pathlib import Path
from typing import Any

import pytest
from workers.processes import Service

WRITE_MESSAGES = Path(__file__).with_name("write_messages.py")


@pytest.fixture(scope="module")
def messages(service: Service) -> dict[str, Any]:
    messages: dict[str, Any] = json.loads(service.run("python", str(WRITE_MESSAGES)))
    return messages


@pytest.mark.parametrize(
    ("task", "key"),
    [
        ("proof.hold", "default\x06\x163"),
        ("proof.use_session", "default\x06\x163"),
        ("reports.activity", "low_priority\x06\x166"),
        ("system.check", "high_priority"),
        ("users.update_stats", "default\x06\x163"),
    ],
)
def test_a_task_is_pushed_as_kombu_would(messages: dict[str, Any], task: str, key: str) -> None:
    built, sent = (without_chance(messages[task][way]) for way in ("built", "sent"))

    assert built["key"] == key
    assert built == sent


def test_every_exposed_task_has_been_compared(messages: dict[str, Any]) -> None:
    assert all(without_chance(ways["built"]) == without_chance(ways["sent"]) for ways in messages.values())
    assert {"proof.hold", "reports.activity", "system.check", "users.update_stats"} <= set(messages)


def without_chance(written: dict[str, Any]) -> dict[str, Any]:
    """Without what differs between any two messages."""
    message = json.loads(json.dumps(written))
    del message["message"]["properties"]["delivery_tag"]
    message["message"]["headers"].pop("clock", None)
    message["message"]["headers"].pop("expires", None)
    return dict(message)
