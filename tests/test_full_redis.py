"""A Redis that has no memory left refuses a step as a whole, and all goes on when there is room again."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError
from rendering import ROOT
from servers import RedisServer

sys.path.append(str(ROOT / "template"))

from app.core.task_delivery import Deliveries

QUEUE = "default"
HELD = "held/1"
"""The delivery that is held, and whose task was started."""
DATABASE = 999
"""No service of the other tests has it."""
Full = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def broker(redis_server: RedisServer) -> Iterator[Any]:
    with Redis.from_url(redis_server.url(DATABASE)) as broker:
        broker.flushdb()
        yield broker


@pytest.fixture
def deliveries(broker: Any) -> Deliveries:
    deliveries = Deliveries(broker)
    push(deliveries, "held")
    push(deliveries, "waiting")
    deliveries.receive([QUEUE])
    broker.hset("task:held", mapping={"started": HELD, "starts:0": 1})
    return deliveries


@pytest.fixture
def full(broker: Any) -> Full:
    @contextmanager
    def full() -> Iterator[None]:
        broker.config_set("maxmemory-policy", "noeviction")
        broker.config_set("maxmemory", 1)
        try:
            yield
        finally:
            broker.config_set("maxmemory", 0)

    return full


def push(deliveries: Deliveries, name: str) -> None:
    deliveries.push(QUEUE, {"headers": {"id": name}, "properties": {"delivery_tag": name}}, {"name": "a task"})


def recover(deliveries: Deliveries) -> object:
    return deliveries.recover([QUEUE], every=0, outage=4, patience=6)


def everything(broker: Any) -> dict[bytes, bytes]:
    return {key: broker.dump(key) for key in broker.scan_iter()}


STEPS: dict[str, Callable[[Deliveries], object]] = {
    "push": lambda deliveries: push(deliveries, "new"),
    "push again": lambda deliveries: push(deliveries, "waiting"),
    "receive": lambda deliveries: deliveries.receive([QUEUE]),
    "give back": lambda deliveries: deliveries.give_back(HELD),
    "hand back": lambda deliveries: deliveries.hand_back(HELD, "starts:0", also_started=True),
    "renew": lambda deliveries: deliveries.renew([HELD]),
    "recover": recover,
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_takes_memory_is_refused_and_leaves_all_as_it_was(
    deliveries: Deliveries, broker: Any, full: Full, step: str
) -> None:
    before = everything(broker)
    with full():
        with pytest.raises(OutOfMemoryError):
            STEPS[step](deliveries)
        assert everything(broker) == before
    STEPS[step](deliveries)
    assert everything(broker) != before


def test_what_has_ended_is_settled_also_in_a_full_redis(deliveries: Deliveries, broker: Any, full: Full) -> None:
    with full():
        deliveries.settle(HELD)
    assert not broker.exists("unacked", "unacked_index")
    assert broker.zrange("tasks:open", 0, -1) == [b"waiting"]
