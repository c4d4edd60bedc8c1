"""Messages of tasks, as tests push and receive them, and look where they are."""

import json
import time
from typing import Any

from redis import Redis

from app.core.task_delivery import Deliveries, Recovered

QUEUE, URGENT = "default", "high_priority"
LISTS = [URGENT, QUEUE]
HELD, LEASES = "unacked", "unacked_index"
RECORD = {"name": "users.cleanup", "queued_at": "2026-05-04T12:00:00+00:00"}
OUTAGE, PATIENCE = 4.0, 6.0


def message(task_id: str, tag: str, **properties: Any) -> dict[str, Any]:
    return {"headers": {"id": task_id}, "properties": {"delivery_tag": tag, **properties}, "body": "W10="}


def push(
    deliveries: Deliveries, task_id: str = "task", tag: str = "tag", queue: str = QUEUE, **properties: Any
) -> None:
    deliveries.push(queue, message(task_id, tag, **properties), RECORD)


def receive(deliveries: Deliveries) -> str | None:
    """The delivery of the next message."""
    received = deliveries.receive(LISTS)
    return received and received.delivery


def tag_of(delivery: str | None) -> str | None:
    return delivery and delivery.rpartition("/")[0]


def push_and_receive(deliveries: Deliveries, name: str = "task") -> str:
    """The delivery of a message that has this tag, of a task that has this id."""
    push(deliveries, name, name)
    delivery = receive(deliveries)
    assert delivery
    return delivery


def recover(deliveries: Deliveries) -> Recovered | None:
    return deliveries.recover(LISTS, every=0, outage=OUTAGE, patience=PATIENCE)


def waiting(broker: Redis) -> list[str]:
    """The tags in the queues, the next one first."""
    messages = [text for queue in LISTS for text in reversed(broker.lrange(queue, 0, -1))]
    return [json.loads(text)["properties"]["delivery_tag"] for text in messages]


def held(broker: Redis) -> set[str]:
    """The deliveries of what is held, and under a lease."""
    deliveries = {str(delivery) for delivery in broker.hkeys(HELD)}
    assert set(broker.zrange(LEASES, 0, -1)) == deliveries
    return deliveries


def let_lapse(broker: Redis, *deliveries: str) -> None:
    broker.zadd(LEASES, dict.fromkeys(deliveries, time.time() - 1), xx=True)
