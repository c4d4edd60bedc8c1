"""What workers left behind comes back, and so does what somebody has deleted by hand."""

import json
import time

import pytest
from redis import Redis

from app.core import task_delivery
from app.core.task_delivery import LEASE_SECONDS, Deliveries
from app.core.task_keys import record_key
from app.core.task_scripts import BELL, OPEN, PUSH_AGAIN
from tests.core.messages import (
    HELD,
    LEASES,
    LISTS,
    OUTAGE,
    PATIENCE,
    QUEUE,
    held,
    let_lapse,
    message,
    push,
    push_and_receive,
    receive,
    recover,
    waiting,
)


def push_missing(deliveries: Deliveries) -> int:
    return sum(deliveries.push_missing(LISTS))


# recover


def test_only_what_has_lapsed_is_given_back(deliveries: Deliveries, broker: Redis) -> None:
    lapsed, alive, lapsed_too = (push_and_receive(deliveries, name) for name in ("lapsed", "alive", "lapsed too"))
    let_lapse(broker, lapsed, lapsed_too)
    assert recover(deliveries) == (2, 0)
    assert set(waiting(broker)) == {"lapsed", "lapsed too"}
    assert held(broker) == {alive}


def test_a_page_at_a_time_is_given_back(deliveries: Deliveries, broker: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_delivery, "PAGE", 2)
    let_lapse(broker, *[push_and_receive(deliveries, name) for name in "abc"])
    assert recover(deliveries) == (2, 0)
    assert recover(deliveries) == (1, 0)


def test_nobody_looks_when_another_has_just_looked(deliveries: Deliveries, broker: Redis) -> None:
    delivery = push_and_receive(deliveries)
    assert deliveries.recover(LISTS, every=60, outage=120, patience=180) == (0, 0)
    let_lapse(broker, delivery)
    assert deliveries.recover(LISTS, every=60, outage=120, patience=180) is None
    assert held(broker) == {delivery}
    broker.set("leases:checked", time.time() - 61)
    assert deliveries.recover(LISTS, every=60, outage=120, patience=180) == (1, 0)


def test_they_look_also_when_the_clock_was_set_back(deliveries: Deliveries, broker: Redis) -> None:
    let_lapse(broker, push_and_receive(deliveries))
    broker.set("leases:checked", time.time() + 3600)
    assert deliveries.recover(LISTS, every=60, outage=120, patience=180) == (1, 0)


def test_what_the_clock_promised_before_it_was_set_back_is_not_waited_for(
    deliveries: Deliveries, broker: Redis
) -> None:
    delivery = push_and_receive(deliveries)
    broker.zadd(LEASES, {delivery: time.time() + 3600})
    broker.set("leases:trusted", time.time() + 3600)
    assert recover(deliveries) == (0, 0)
    assert broker.zscore(LEASES, delivery) == pytest.approx(time.time() + LEASE_SECONDS, abs=2)
    let_lapse(broker, delivery)
    broker.delete("leases:checked")
    assert recover(deliveries) == (1, 0)


def test_holders_get_time_to_renew_where_nobody_could_look_for_long(deliveries: Deliveries, broker: Redis) -> None:
    living, dead = push_and_receive(deliveries, "living"), push_and_receive(deliveries, "dead")
    recover(deliveries)
    let_lapse(broker, living, dead)
    broker.set("leases:checked", time.time() - OUTAGE - 1)
    assert recover(deliveries) == (0, 0)
    deliveries.renew([living])
    assert recover(deliveries) == (0, 0)
    assert float(str(broker.get("leases:trusted"))) == pytest.approx(time.time() + PATIENCE, abs=2)
    broker.set("leases:trusted", time.time())
    assert recover(deliveries) == (1, 0)
    assert held(broker) == {living}


def test_a_lease_on_nothing_is_forgotten(deliveries: Deliveries, broker: Redis) -> None:
    broker.zadd(LEASES, {"settled/1": time.time() - 1})
    assert recover(deliveries) == (0, 0)
    assert not broker.exists(LEASES)


def test_a_lease_on_nothing_is_not_counted_as_given_back(deliveries: Deliveries, broker: Redis) -> None:
    delivery = push_and_receive(deliveries)
    broker.zadd(LEASES, {"settled/1": 0, "settled/2": 0})
    let_lapse(broker, delivery)
    assert recover(deliveries) == (1, 0)
    assert held(broker) == set()


def test_leases_that_were_deleted_are_given_anew(deliveries: Deliveries, broker: Redis) -> None:
    kept, lost = push_and_receive(deliveries, "kept"), push_and_receive(deliveries, "lost")
    let_lapse(broker, kept)
    deliveries.renew([kept])
    lapses = broker.zscore(LEASES, kept)
    broker.zrem(LEASES, lost)
    assert recover(deliveries) == (0, 0)
    assert held(broker) == {kept, lost}
    assert broker.zscore(LEASES, lost) == pytest.approx(time.time() + LEASE_SECONDS, abs=5)
    assert broker.zscore(LEASES, kept) == lapses
    let_lapse(broker, lost)
    assert recover(deliveries) == (1, 0)


def test_what_is_missing_is_counted(deliveries: Deliveries, broker: Redis) -> None:
    for name in ("waiting", "held", "lost"):
        push(deliveries, name, name)
    broker.lpop(QUEUE)
    receive(deliveries)
    assert recover(deliveries) == (0, 1)


# push what is missing


def test_a_message_that_was_deleted_comes_back_with_its_id(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    broker.delete(QUEUE, BELL)
    assert push_missing(deliveries) == 1
    assert waiting(broker) == ["tag"]
    assert broker.llen(BELL) == 1
    received = deliveries.receive(LISTS)
    assert received
    assert json.loads(received.payload)["headers"]["id"] == "task"


def test_a_message_whose_holder_was_forgotten_comes_back(deliveries: Deliveries, broker: Redis) -> None:
    forgotten = push_and_receive(deliveries)
    broker.delete(HELD, LEASES)
    assert push_missing(deliveries) == 1
    delivery = receive(deliveries)
    assert delivery not in (None, forgotten)
    deliveries.settle(forgotten)
    assert held(broker) == {delivery}


def test_what_waits_is_held_or_has_ended_is_not_pushed_again(
    deliveries: Deliveries, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_delivery, "PAGE", 2)
    for number in range(7):
        push(deliveries, f"task {number}", f"tag {number}", LISTS[number % 2])
    receive(deliveries)
    deliveries.settle(str(receive(deliveries)))
    before = waiting(broker)
    assert push_missing(deliveries) == 0
    assert waiting(broker) == before


def test_only_the_last_try_is_pushed_again(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries, tag="first")
    push(deliveries, tag="second")
    broker.delete(QUEUE)
    assert push_missing(deliveries) == 1
    assert waiting(broker) == ["second"]


def test_what_is_pushed_during_the_search_is_not_pushed_again(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries, "1", "before")
    pages = deliveries.push_missing(LISTS)
    next(pages)
    push(deliveries, "2", "meanwhile")
    assert sum(pages) == 0
    assert waiting(broker) == ["before", "meanwhile"]


def test_what_is_received_or_ends_during_the_search_is_not_pushed_again(deliveries: Deliveries, broker: Redis) -> None:
    ended, received = push_and_receive(deliveries, "ended"), push_and_receive(deliveries, "received")
    deliveries.settle(ended)
    for name in ("ended", "received"):
        assert broker.eval(PUSH_AGAIN, 0, name, name) == 0
    assert waiting(broker) == []
    assert held(broker) == {received}


def test_a_message_of_a_program_that_keeps_no_records_is_not_pushed_again(
    deliveries: Deliveries, broker: Redis
) -> None:
    broker.lpush(QUEUE, json.dumps(message("task", "tag")))
    receive(deliveries)
    broker.delete(HELD, LEASES)
    assert broker.eval(PUSH_AGAIN, 0, "task", "tag") == 0


def test_a_task_whose_record_has_expired_is_no_longer_looked_for(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    broker.delete(QUEUE, record_key("task"))
    assert recover(deliveries) == (0, 1)
    assert push_missing(deliveries) == 0
    assert not broker.exists(OPEN)
    assert recover(deliveries) == (0, 0)
