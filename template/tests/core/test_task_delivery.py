"""Each step of a message's way through Redis, and what a crash, a copy or damage by hand leaves for the next step."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from app.core import task_delivery
from app.core.celery import celery_app
from app.core.task_delivery import LEASE_SECONDS, Deliveries, Received, Recovered, queue_lists
from app.core.task_keys import RECORD_SECONDS, record_key
from app.core.task_message import MessageBuilder, NewTask
from app.core.task_record import note_start, starts_field
from app.core.task_scripts import BELL, OPEN, PUSH_AGAIN
from app.tasks import system

QUEUE, URGENT = "default", "high_priority"
LISTS = [URGENT, QUEUE]
HELD, LEASES = "unacked", "unacked_index"
RECORD = {"name": "users.cleanup", "queued_at": "2026-05-04T12:00:00+00:00"}
STARTS = starts_field(0)
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


def push_missing(deliveries: Deliveries, broker: Redis) -> int:
    """A while after the last push."""
    for task_id in broker.zrange(OPEN, 0, -1):
        broker.zincrby(OPEN, -1, str(task_id))
    return sum(deliveries.push_missing(LISTS))


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


# push


def test_a_pushed_message_waits_and_is_recorded(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    assert waiting(broker) == ["tag"]
    record = broker.hgetall(record_key("task"))
    assert json.loads(record.pop("message")) == message("task", "tag")
    assert record == {**RECORD, "tag": "tag", "queue": QUEUE}
    assert 0 < broker.ttl(record_key("task")) <= RECORD_SECONDS
    assert broker.zscore(OPEN, "task") == pytest.approx(time.time(), abs=5)
    assert broker.llen(BELL) == 1


def test_the_bell_does_not_grow_where_nobody_listens(deliveries: Deliveries, broker: Redis) -> None:
    for number in range(120):
        push(deliveries, f"task {number}", f"tag {number}")
    assert broker.llen(BELL) == 100


def test_trying_again_keeps_what_was_recorded_first_and_replaces_the_message(
    deliveries: Deliveries, broker: Redis
) -> None:
    push(deliveries)
    deliveries.push(URGENT, message("task", "second"), {"name": "another", "queued_at": "later"})
    record = broker.hgetall(record_key("task"))
    assert (record["name"], record["queued_at"]) == (RECORD["name"], RECORD["queued_at"])
    assert (record["tag"], record["queue"]) == ("second", URGENT)
    assert json.loads(record["message"]) == message("task", "second")
    assert broker.zcard(OPEN) == 1


def test_what_may_be_pushed_once_only_is_pushed_once(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries, tag="first", once=True)
    push(deliveries, tag="second", once=True)
    assert waiting(broker) == ["first"]
    deliveries.settle(str(receive(deliveries)))
    push(deliveries, tag="third", once=True)
    assert receive(deliveries) is None


@pytest.mark.parametrize("task_id", ["two\nlines", "\x00", "\x7f"])
def test_an_id_with_control_characters_is_refused(deliveries: Deliveries, broker: Redis, task_id: str) -> None:
    with pytest.raises(ResponseError, match="its id"):
        push(deliveries, task_id)
    assert broker.dbsize() == 0


@pytest.mark.parametrize("tag", ["two\nlines", "\x00", "\x7f", "ä", "✓"])
def test_a_tag_that_is_no_plain_text_is_refused(deliveries: Deliveries, broker: Redis, tag: str) -> None:
    with pytest.raises(ResponseError, match="what is in it"):
        push(deliveries, tag=tag)
    assert broker.dbsize() == 0


def test_the_messages_that_celery_builds_are_understood(deliveries: Deliveries, broker: Redis) -> None:
    built = MessageBuilder(celery_app).task(NewTask(system.heartbeat, {}))
    deliveries.push(built.key, built.message, RECORD)
    delivery = receive(deliveries)
    assert delivery
    assert tag_of(delivery) == built.message["properties"]["delivery_tag"]
    assert held(broker) == {delivery}
    deliveries.settle(delivery)
    assert not broker.hexists(record_key(built.message["headers"]["id"]), "tag")
    assert not broker.exists(OPEN)


# receive


def test_the_most_urgent_of_all_queues_is_looked_at_first() -> None:
    assert queue_lists(["a", "b"])[:4] == ["a", "b", "a\x06\x163", "b\x06\x163"]


def test_messages_are_received_in_the_order_of_the_lists_then_of_their_coming(deliveries: Deliveries) -> None:
    push(deliveries, "1", "first")
    push(deliveries, "2", "second")
    push(deliveries, "3", "urgent", URGENT)
    assert [tag_of(receive(deliveries)) for _ in range(4)] == ["urgent", "first", "second", None]


def test_a_received_message_is_held_under_a_lease(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    received = deliveries.receive(LISTS)
    assert received
    assert (received.queue, json.loads(received.payload)) == (QUEUE, message("task", "tag"))
    assert waiting(broker) == []
    assert held(broker) == {received.delivery}
    assert broker.zscore(LEASES, str(received.delivery)) == pytest.approx(time.time() + LEASE_SECONDS, abs=5)


def test_each_delivery_of_a_message_has_a_name_of_its_own(deliveries: Deliveries) -> None:
    names = [push_and_receive(deliveries)]
    for _ in range(3):
        deliveries.give_back(names[-1])
        names.append(str(receive(deliveries)))
    push(deliveries, "task", "tag of the next try")
    names.append(str(receive(deliveries)))
    assert len(set(names)) == 5


def test_a_second_copy_is_dropped_while_the_first_is_held(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    copy = broker.lindex(QUEUE, 0)
    first = receive(deliveries)
    broker.lpush(QUEUE, str(copy))
    assert receive(deliveries) is None
    assert waiting(broker) == []
    assert held(broker) == {first}


def test_a_message_that_a_retry_has_replaced_is_dropped(deliveries: Deliveries) -> None:
    push(deliveries, tag="first")
    push(deliveries, tag="second")
    assert [tag_of(receive(deliveries)) for _ in range(2)] == ["second", None]


def test_what_has_ended_is_not_received_again(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    copy = broker.lindex(QUEUE, 0)
    deliveries.settle(str(receive(deliveries)))
    broker.lpush(QUEUE, str(copy))
    assert receive(deliveries) is None
    assert waiting(broker) == []


def test_a_message_of_a_program_that_keeps_no_records_is_held_and_settled_as_any_other(
    deliveries: Deliveries, broker: Redis
) -> None:
    for _ in range(2):
        broker.lpush(QUEUE, json.dumps(message("task", "tag")))
    delivery = receive(deliveries)
    assert delivery
    assert receive(deliveries) is None
    assert held(broker) == {delivery}
    assert 0 < broker.ttl(record_key("task")) <= RECORD_SECONDS
    deliveries.settle(delivery)
    broker.lpush(QUEUE, json.dumps(message("task", "tag")))
    assert receive(deliveries) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"no JSON",
        b"\xff\xfe",
        b"7",
        b"null",
        b"[]",
        b'{"headers": null, "properties": null}',
        b'{"headers": {"id": 7}, "properties": {"delivery_tag": "tag"}}',
        b'{"headers": {"id": "two\\nlines"}, "properties": {"delivery_tag": "tag"}}',
        b'{"headers": {"id": "task"}, "properties": {"delivery_tag": 7}}',
        b'{"headers": {"id": "task"}, "properties": {"delivery_tag": "two\\nlines"}}',
        '{"headers": {"id": "task"}, "properties": {"delivery_tag": "ä"}}'.encode(),
        b'{"headers": {"id": "task"}, "properties": {"delivery_tag": "\xff"}}',
        json.dumps({"headers": {}, "properties": {"delivery_tag": "of an answer to `celery inspect`"}}).encode(),
    ],
)
def test_what_is_no_task_is_handed_out_and_held_by_nobody(
    deliveries: Deliveries, broker: Redis, payload: bytes
) -> None:
    broker.lpush(QUEUE, payload)
    push(deliveries)
    assert deliveries.receive(LISTS) == Received(QUEUE, payload, None)
    delivery = receive(deliveries)
    assert tag_of(delivery) == "tag"
    assert held(broker) == {delivery}


# settle, give back, renew


def test_a_settled_message_leaves_only_what_others_may_ask_for(deliveries: Deliveries, broker: Redis) -> None:
    delivery = push_and_receive(deliveries)
    deliveries.settle(delivery)
    assert held(broker) == set()
    assert not broker.exists(OPEN)
    assert broker.hgetall(record_key("task")) == {**RECORD, "deliveries": "1", "ended": "1"}


def test_settling_what_a_retry_has_replaced_leaves_the_retry_open(deliveries: Deliveries, broker: Redis) -> None:
    first = push_and_receive(deliveries)
    push(deliveries, tag="second")
    deliveries.settle(first)
    assert held(broker) == set()
    assert broker.zrange(OPEN, 0, -1) == ["task"]
    assert tag_of(receive(deliveries)) == "second"


def test_settling_what_nobody_holds_changes_nothing(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    deliveries.settle("tag")
    deliveries.settle("tag/1")
    deliveries.settle("unknown/1")
    assert waiting(broker) == ["tag"]
    assert broker.zrange(OPEN, 0, -1) == ["task"]


def test_what_is_given_back_is_received_next(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries, "1", "first")
    push(deliveries, "2", "second")
    delivery = str(receive(deliveries))
    broker.delete(BELL)
    deliveries.give_back(delivery)
    assert waiting(broker) == ["first", "second"]
    assert held(broker) == set()
    assert broker.llen(BELL) == 1
    assert tag_of(receive(deliveries)) == "first"


def test_giving_back_what_is_not_held_changes_nothing(deliveries: Deliveries, broker: Redis) -> None:
    delivery = push_and_receive(deliveries)
    deliveries.settle(delivery)
    deliveries.give_back(delivery)
    assert waiting(broker) == []


def test_an_odd_id_and_an_odd_body_survive_being_given_back(deliveries: Deliveries, broker: Redis) -> None:
    odd = message("ä 'quoted' \\ \"id\"", "tag/7") | {"body": "lines\nof\n\ntext\x00 ✓"}
    deliveries.push(QUEUE, odd, RECORD)
    deliveries.give_back(str(receive(deliveries)))
    received = deliveries.receive(LISTS)
    assert received
    assert json.loads(received.payload) == odd
    deliveries.settle(str(received.delivery))
    assert not broker.exists(OPEN)


def test_a_lease_is_renewed_only_while_it_is_there(deliveries: Deliveries, broker: Redis) -> None:
    delivery = push_and_receive(deliveries)
    let_lapse(broker, delivery)
    deliveries.renew([delivery, "settled/1"])
    assert held(broker) == {delivery}
    assert broker.zscore(LEASES, delivery) == pytest.approx(time.time() + LEASE_SECONDS, abs=5)


def test_to_renew_nothing_is_no_error(deliveries: Deliveries) -> None:
    deliveries.renew([])


# hand back


@pytest.mark.parametrize("also_started", [False, True])
def test_what_was_not_started_is_handed_back_without_a_start(
    deliveries: Deliveries, broker: Redis, also_started: bool
) -> None:
    delivery = push_and_receive(deliveries)
    deliveries.hand_back(delivery, STARTS, also_started=also_started)
    assert waiting(broker) == ["task"]
    assert held(broker) == set()
    assert not broker.hexists(record_key("task"), STARTS)


def test_what_was_started_is_kept(deliveries: Deliveries, broker: Redis) -> None:
    delivery = push_and_receive(deliveries)
    note_start("task", 0, delivery)
    deliveries.hand_back(delivery, STARTS, also_started=False)
    assert waiting(broker) == []
    assert held(broker) == {delivery}
    assert broker.hget(record_key("task"), STARTS) == "1"


def test_what_was_broken_off_is_handed_back_and_its_start_does_not_count(deliveries: Deliveries, broker: Redis) -> None:
    delivery = push_and_receive(deliveries)
    note_start("task", 0, delivery)
    deliveries.hand_back(delivery, STARTS, also_started=True)
    assert waiting(broker) == ["task"]
    assert held(broker) == set()
    assert broker.hget(record_key("task"), STARTS) == "0"


def test_the_start_of_an_earlier_delivery_counts_when_a_later_one_is_handed_back(
    deliveries: Deliveries, broker: Redis
) -> None:
    lost = push_and_receive(deliveries)
    note_start("task", 0, lost)
    let_lapse(broker, lost)
    recover(deliveries)
    deliveries.hand_back(str(receive(deliveries)), STARTS, also_started=True)
    assert waiting(broker) == ["task"]
    assert broker.hget(record_key("task"), STARTS) == "1"


# a delivery that has lapsed

STEPS: dict[str, Callable[[Deliveries, str], object]] = {
    "settle": lambda deliveries, lapsed: deliveries.settle(lapsed),
    "give back": lambda deliveries, lapsed: deliveries.give_back(lapsed),
    "hand back": lambda deliveries, lapsed: deliveries.hand_back(lapsed, STARTS, also_started=False),
    "hand back what was started": lambda deliveries, lapsed: deliveries.hand_back(lapsed, STARTS, also_started=True),
    "renew": lambda deliveries, lapsed: deliveries.renew([lapsed]),
    "note a start": lambda _, lapsed: note_start("task", 0, lapsed),
}


def everything(broker: Redis) -> list[Any]:
    leases = broker.zrange(LEASES, 0, -1, withscores=True)
    return [waiting(broker), leases, *(broker.hgetall(key) for key in (HELD, record_key("task")))]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("received_again", [False, True])
@pytest.mark.parametrize("started", [False, True])
def test_a_delivery_that_has_lapsed_does_nothing_any_more(
    deliveries: Deliveries, broker: Redis, step: str, received_again: bool, started: bool
) -> None:
    lapsed = push_and_receive(deliveries)
    if started:
        note_start("task", 0, lapsed)
    let_lapse(broker, lapsed)
    recover(deliveries)
    if received_again:
        receive(deliveries)
    before = everything(broker)
    assert STEPS[step](deliveries, lapsed) is None
    assert everything(broker) == before


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
    assert push_missing(deliveries, broker) == 1
    assert waiting(broker) == ["tag"]
    assert broker.llen(BELL) == 1
    received = deliveries.receive(LISTS)
    assert received
    assert json.loads(received.payload)["headers"]["id"] == "task"


def test_a_message_whose_holder_was_forgotten_comes_back(deliveries: Deliveries, broker: Redis) -> None:
    forgotten = push_and_receive(deliveries)
    broker.delete(HELD, LEASES)
    assert push_missing(deliveries, broker) == 1
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
    assert push_missing(deliveries, broker) == 0
    assert waiting(broker) == before


def test_only_the_last_try_is_pushed_again(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries, tag="first")
    push(deliveries, tag="second")
    broker.delete(QUEUE)
    assert push_missing(deliveries, broker) == 1
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
    assert push_missing(deliveries, broker) == 0
    assert not broker.exists(OPEN)
    assert recover(deliveries) == (0, 0)
