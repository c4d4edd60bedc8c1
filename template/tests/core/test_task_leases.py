"""Who renews which leases, and what a look for lapsed ones does."""

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from app.core import task_delivery, task_leases
from app.core.celery import celery_app
from app.core.config.celery import get_celery_settings
from app.core.task_delivery import LEASE_SECONDS, Deliveries
from app.core.task_leases import OUTAGE_SECONDS, RETURN_SECONDS, STUCK_SECONDS, Leases
from app.core.task_running import RENEW_SECONDS
from app.core.task_scripts import OPEN

Log = Callable[[], list[dict[str, Any]]]
QUEUE = "default"


class Holder:
    def __init__(self, *deliveries: str, idle: float = 0) -> None:
        self.deliveries = list(deliveries)
        self.idle = idle

    def held(self) -> list[str]:
        return self.deliveries

    def seconds_idle(self) -> float:
        return self.idle


class Away:
    """In place of the steps, while Redis does not answer."""

    def renew(self, *_: Any) -> None:
        raise RedisConnectionError("away")

    def recover(self, *_: Any) -> None:
        raise RedisConnectionError("away")


@pytest.fixture(autouse=True)
def _own_deliveries(deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_leases, "deliveries", lambda: deliveries)


@pytest.fixture
def leases() -> Leases:
    return Leases()


def hold(deliveries: Deliveries, *names: str) -> list[str]:
    """The deliveries of new tasks that have these ids."""
    held = []
    for name in names:
        deliveries.push(QUEUE, {"headers": {"id": name}, "properties": {"delivery_tag": name}}, {})
        received = deliveries.receive([QUEUE])
        assert received
        held.append(str(received.delivery))
    return held


def let_lapse(broker: Redis) -> None:
    for delivery in broker.zrange("unacked_index", 0, -1):
        broker.zadd("unacked_index", {str(delivery): time.time() - 1})


def alive(broker: Redis) -> set[str]:
    return {str(delivery) for delivery in broker.zrange("unacked_index", time.time(), "+inf", byscore=True)}


def forget_what_is_held(broker: Redis) -> None:
    """A while after it was pushed."""
    broker.delete("unacked", "unacked_index")
    for task_id in broker.zrange(OPEN, 0, -1):
        broker.zincrby(OPEN, -1, str(task_id))


@pytest.fixture
def look(leases: Leases, broker: Redis) -> Callable[[], None]:
    """A look for what was left behind, at the time when the next one is due."""

    def look() -> None:
        broker.delete("leases:checked")
        leases.recover(celery_app)

    return look


# renewing


def test_leases_are_renewed_in_time_also_where_redis_was_away_for_a_moment() -> None:
    assert OUTAGE_SECONDS + 2 * RENEW_SECONDS < LEASE_SECONDS
    assert 3 * RENEW_SECONDS <= RETURN_SECONDS


def test_the_main_process_renews_all_that_it_holds(leases: Leases, deliveries: Deliveries, broker: Redis) -> None:
    mine, mine_too, _ = hold(deliveries, "mine", "mine too", "another's")
    let_lapse(broker)
    leases.follow(Holder(mine, mine_too))
    leases.renew_held()
    assert alive(broker) == {mine, mine_too}


def test_a_new_connection_takes_the_place_of_the_one_before(
    leases: Leases, deliveries: Deliveries, broker: Redis
) -> None:
    lost, held = hold(deliveries, "lost with its connection", "held")
    let_lapse(broker)
    leases.follow(Holder(lost))
    leases.follow(Holder(held))
    leases.renew_held()
    assert alive(broker) == {held}


def test_a_worker_that_is_connected_but_receives_nothing_connects_anew(
    leases: Leases, deliveries: Deliveries, broker: Redis
) -> None:
    (held,) = hold(deliveries, "held")
    let_lapse(broker)
    leases.follow(Holder(held, idle=STUCK_SECONDS + 1))
    with pytest.raises(ConnectionError):
        leases.renew_held()
    assert alive(broker) == {held}


def test_a_process_that_holds_nothing_renews_nothing(leases: Leases) -> None:
    leases.renew_held()


def test_what_runs_is_renewed_on_a_thread_until_it_ends(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed: list[list[str]] = []
    again = threading.Semaphore(0)

    def renew(deliveries: list[str]) -> None:
        renewed.append(deliveries)
        again.release()

    monkeypatch.setattr("app.core.task_running.RENEW_SECONDS", 0.01)
    monkeypatch.setattr(task_leases, "deliveries", lambda: SimpleNamespace(renew=renew))
    leases.running.enter("runs")
    for _ in range(3):
        assert again.acquire(timeout=5)
    leases.running.leave("runs")
    for _ in range(3):
        assert again.acquire(timeout=5)
    assert renewed[1] == ["runs"]
    assert renewed[-1] == []


def test_a_task_is_entered_with_its_delivery_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    running: set[str] = set()
    monkeypatch.setattr(
        task_leases, "leases", SimpleNamespace(running=SimpleNamespace(enter=running.add, leave=running.discard))
    )
    task = SimpleNamespace(delivery="tag/1")
    task_leases._enter(task=task)
    assert running == {"tag/1"}
    task_leases._leave(task=task)
    assert running == set()


def test_a_task_that_came_by_no_delivery_has_no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_leases, "leases", None)
    task = SimpleNamespace(delivery=None)
    task_leases._enter(task=task)
    task_leases._leave(task=task)


def test_another_broker_has_leases_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = get_celery_settings().model_copy(update={"broker_url": "amqp://"})
    monkeypatch.setattr(task_leases, "get_celery_settings", lambda: settings)
    task_leases._look_after_leases(sender=None)


def test_a_redis_that_is_away_is_logged_and_no_more(leases: Leases, monkeypatch: pytest.MonkeyPatch, log: Log) -> None:
    monkeypatch.setattr(task_leases, "deliveries", Away)
    leases.follow(Holder("tag/1"))
    leases.renew_held()
    leases.recover(celery_app)
    assert [event["event"] for event in log()] == [
        "leases could not be renewed",
        "no look for messages that were left behind",
    ]


# recovering


def test_what_was_left_behind_is_given_back_and_logged(
    look: Callable[[], None], deliveries: Deliveries, broker: Redis, log: Log
) -> None:
    hold(deliveries, "a", "b")
    let_lapse(broker)
    look()
    assert broker.llen(QUEUE) == 2
    (event,) = log()
    assert (event["level"], event["messages"]) == ("warning", 2)


def test_nothing_is_logged_where_nothing_was_left(look: Callable[[], None], deliveries: Deliveries, log: Log) -> None:
    hold(deliveries, "a")
    look()
    look()
    assert log() == []


def test_what_is_missing_is_pushed_again_by_the_looks_that_follow(
    look: Callable[[], None], deliveries: Deliveries, broker: Redis, log: Log
) -> None:
    hold(deliveries, "a", "b")
    forget_what_is_held(broker)
    look()
    assert broker.llen(QUEUE) == 0
    look()
    assert broker.llen(QUEUE) == 2
    assert [event["messages"] for event in log()] == [2]
    look()
    assert broker.llen(QUEUE) == 2


def test_a_search_looks_at_a_few_pages_at_a_time(
    look: Callable[[], None], deliveries: Deliveries, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_delivery, "PAGE", 1)
    hold(deliveries, *(f"task {number}" for number in range(15)))
    forget_what_is_held(broker)
    look()
    waiting = []
    for _ in range(3):
        look()
        waiting.append(broker.llen(QUEUE))
    assert waiting == [10, 15, 15]


def test_a_search_goes_on_after_an_outage(
    leases: Leases, look: Callable[[], None], deliveries: Deliveries, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(deliveries, "a")
    forget_what_is_held(broker)
    look()

    def cut_off() -> Iterator[int]:
        raise RedisConnectionError("away")
        yield 0

    leases._missing = cut_off()
    for _ in range(3):
        look()
    assert broker.llen(QUEUE) == 1
