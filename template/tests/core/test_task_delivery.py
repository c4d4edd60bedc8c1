"""Each step of a message's way through Redis, and what a crash, a copy or another worker leaves for the next step."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from app.core.celery import celery_app
from app.core.task_delivery import LEASE_SECONDS, Deliveries, Received, queue_lists
from app.core.task_keys import RECORD_SECONDS, list_key, record_key
from app.core.task_message import MessageBuilder, NewTask
from app.core.task_record import note_start, starts_field
from app.core.task_scripts import BELL, OPEN
from app.tasks import system
from tests.core.messages import (
    HELD,
    LEASES,
    LISTS,
    QUEUE,
    RECORD,
    URGENT,
    held,
    let_lapse,
    message,
    push,
    push_and_receive,
    receive,
    recover,
    tag_of,
    waiting,
)

STARTS = starts_field(0)


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


def test_what_beat_queues_is_not_listed_beside_what_others_queue(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries, "of beat", once=True)
    push(deliveries, "of another")
    assert broker.zrange(list_key("recent"), 0, -1) == ["of another"]
    assert sorted(broker.zrange(list_key("open"), 0, -1)) == ["of another", "of beat"]


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
