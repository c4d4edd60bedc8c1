"""A Redis that has no memory left refuses a step as a whole, and all goes on when there is room again."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import OutOfMemoryError
from rendering import ROOT
from servers import RedisServer

sys.path.append(str(ROOT / "template"))

from app.core import task_delivery
from app.core.task_delivery import Deliveries

QUEUE = "default"
DATABASE = 999
"""No service of the other tests has it."""
Full = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def broker(redis_server: RedisServer) -> Iterator[Any]:
    with Redis.from_url(redis_server.url(DATABASE)) as broker:
        broker.flushdb()
        yield broker


@pytest.fixture
def deliveries(broker: Any, monkeypatch: pytest.MonkeyPatch) -> Deliveries:
    monkeypatch.setattr(task_delivery, "get_celery_settings", lambda: SimpleNamespace(result_expires=86_400))
    return Deliveries(broker)


@pytest.fixture
def held(deliveries: Deliveries, broker: Any) -> str:
    """The delivery of a task that was started, while another one waits."""
    push(deliveries, "held")
    push(deliveries, "waiting")
    received = deliveries.receive([QUEUE])
    assert received
    assert received.delivery
    broker.hset("task:held", mapping={"started": received.delivery, "starts:0": 1})
    return received.delivery


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


def everything(broker: Any) -> dict[bytes, bytes]:
    return {key: broker.dump(key) for key in broker.scan_iter()}


STEPS: dict[str, Callable[[Deliveries, str], object]] = {
    "push": lambda deliveries, _: push(deliveries, "new"),
    "push again": lambda deliveries, _: push(deliveries, "waiting"),
    "receive": lambda deliveries, _: deliveries.receive([QUEUE]),
    "give back": lambda deliveries, held: deliveries.give_back(held),
    "hand back": lambda deliveries, held: deliveries.hand_back(held, "starts:0", also_started=True),
    "renew": lambda deliveries, held: deliveries.renew([held]),
    "recover": lambda deliveries, _: deliveries.recover([QUEUE], every=0, outage=4, patience=6),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_takes_memory_is_refused_and_leaves_all_as_it_was(
    deliveries: Deliveries, held: str, broker: Any, full: Full, step: str
) -> None:
    before = everything(broker)
    with full():
        with pytest.raises(OutOfMemoryError):
            STEPS[step](deliveries, held)
        assert everything(broker) == before
    STEPS[step](deliveries, held)
    assert everything(broker) != before


def test_what_has_ended_is_settled_also_in_a_full_redis(
    deliveries: Deliveries, held: str, broker: Any, full: Full
) -> None:
    with full():
        deliveries.settle(held)
    assert not broker.exists("unacked", "unacked_index")
    assert broker.zrange("tasks:open", 0, -1) == [b"waiting"]
