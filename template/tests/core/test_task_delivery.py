"""Each step of a message's way through Redis, and what a crash, a copy or damage by hand leaves for the next step."""

import json
import time
from typing import Any

import pytest
from redis import Redis

from app.core import task_delivery
from app.core.celery import celery_app
from app.core.task_delivery import BELL, LEASE_SECONDS, OPEN, Deliveries, Recovered, queue_lists
from app.core.task_keys import RECORD_SECONDS, record_key
from app.core.task_message import MessageBuilder
from app.tasks import system

QUEUE, URGENT = "default", "high_priority"
LISTS = [URGENT, QUEUE]
UNACKED, LEASES = "unacked", "unacked_index"
RECORD = {"name": "users.cleanup", "queued_at": "2026-05-04T12:00:00+00:00"}
PATIENCE = 5.0


def message(task_id: str, tag: str, **properties: Any) -> dict[str, Any]:
    return {"headers": {"id": task_id}, "properties": {"delivery_tag": tag, **properties}, "body": "W10="}


def push(
    deliveries: Deliveries, task_id: str = "task", tag: str = "tag", queue: str = QUEUE, **properties: Any
) -> None:
    deliveries.push(queue, message(task_id, tag, **properties), RECORD)


def receive(deliveries: Deliveries) -> str | None:
    """The tag of the next message."""
    received = deliveries.receive(LISTS)
    return received and json.loads(received[1])["properties"]["delivery_tag"]


def recover(deliveries: Deliveries) -> Recovered | None:
    return deliveries.recover(LISTS, every=0, patience=PATIENCE)


def push_missing(deliveries: Deliveries) -> int:
    return sum(deliveries.push_missing(LISTS))


def waiting(broker: Redis) -> list[str]:
    """The tags in the queues, the next one first."""
    messages = [text for queue in LISTS for text in reversed(broker.lrange(queue, 0, -1))]
    return [json.loads(text)["properties"]["delivery_tag"] for text in messages]


def held(broker: Redis) -> set[str]:
    """The tags of what is held, and under a lease."""
    tags = {str(tag) for tag in broker.hkeys(UNACKED)}
    assert set(broker.zrange(LEASES, 0, -1)) == tags
    return tags


def let_lapse(broker: Redis, *tags: str) -> None:
    broker.zadd(LEASES, dict.fromkeys(tags, time.time() - 1), xx=True)


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
    assert receive(deliveries) == "first"
    deliveries.settle("first")
    push(deliveries, tag="third", once=True)
    assert receive(deliveries) is None


def test_the_messages_that_celery_builds_are_understood(deliveries: Deliveries, broker: Redis) -> None:
    built = MessageBuilder(celery_app).task(system.heartbeat, {})
    deliveries.push(built.key, built.message, RECORD)
    tag, task_id = built.message["properties"]["delivery_tag"], built.message["headers"]["id"]
    assert receive(deliveries) == tag
    assert held(broker) == {tag}
    deliveries.settle(tag)
    assert not broker.hexists(record_key(task_id), "tag")
    assert not broker.exists(OPEN)


# receive


def test_the_most_urgent_of_all_queues_is_looked_at_first() -> None:
    assert queue_lists(["a", "b"])[:4] == ["a", "b", "a\x06\x163", "b\x06\x163"]


def test_messages_are_received_in_the_order_of_the_lists_then_of_their_coming(deliveries: Deliveries) -> None:
    push(deliveries, "1", "first")
    push(deliveries, "2", "second")
    push(deliveries, "3", "urgent", URGENT)
    assert [receive(deliveries) for _ in range(4)] == ["urgent", "first", "second", None]


def test_a_received_message_is_held_under_a_lease(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    received = deliveries.receive(LISTS)
    assert received
    assert (received[0], json.loads(received[1])) == (QUEUE.encode(), message("task", "tag"))
    assert waiting(broker) == []
    assert held(broker) == {"tag"}
    assert broker.zscore(LEASES, "tag") == pytest.approx(time.time() + LEASE_SECONDS, abs=5)


def test_a_second_copy_is_dropped_while_the_first_is_held(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    push(deliveries)
    assert [receive(deliveries), receive(deliveries)] == ["tag", None]
    assert waiting(broker) == []
    assert held(broker) == {"tag"}


def test_a_message_that_a_retry_has_replaced_is_dropped(deliveries: Deliveries) -> None:
    push(deliveries, tag="first")
    push(deliveries, tag="second")
    assert [receive(deliveries), receive(deliveries)] == ["second", None]


def test_what_has_ended_is_not_received_again(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    push(deliveries)
    assert receive(deliveries) == "tag"
    deliveries.settle("tag")
    assert receive(deliveries) is None
    assert waiting(broker) == []


def test_a_message_of_a_program_that_keeps_no_records_is_held_and_settled_as_any_other(
    deliveries: Deliveries, broker: Redis
) -> None:
    for _ in range(2):
        broker.lpush(QUEUE, json.dumps(message("task", "tag")))
    assert [receive(deliveries), receive(deliveries)] == ["tag", None]
    assert held(broker) == {"tag"}
    assert 0 < broker.ttl(record_key("task")) <= RECORD_SECONDS
    broker.hincrby(record_key("task"), "starts:0", 1)  # as a worker does
    deliveries.settle("tag")
    broker.lpush(QUEUE, json.dumps(message("task", "tag")))
    assert receive(deliveries) is None


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "7",
        "null",
        "[]",
        '{"headers": null, "properties": null}',
        '{"headers": {"id": 7}, "properties": {"delivery_tag": "tag"}}',
        json.dumps({"headers": {}, "properties": {"delivery_tag": "tag"}, "body": "an answer to `celery inspect`"}),
    ],
)
def test_what_is_no_task_is_handed_out_and_held_by_nobody(deliveries: Deliveries, broker: Redis, text: str) -> None:
    broker.lpush(QUEUE, text)
    push(deliveries)
    assert tuple(deliveries.receive(LISTS) or ()) == (QUEUE.encode(), text.encode())
    assert receive(deliveries) == "tag"
    assert held(broker) == {"tag"}


# settle, give back, renew


def test_a_settled_message_leaves_only_what_others_may_ask_for(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    receive(deliveries)
    deliveries.settle("tag")
    assert held(broker) == set()
    assert not broker.exists(OPEN)
    assert broker.hgetall(record_key("task")) == RECORD


def test_settling_what_a_retry_has_replaced_leaves_the_retry_open(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries, tag="first")
    receive(deliveries)
    push(deliveries, tag="second")
    deliveries.settle("first")
    assert held(broker) == set()
    assert broker.zrange(OPEN, 0, -1) == ["task"]
    assert receive(deliveries) == "second"


def test_settling_what_nobody_holds_changes_nothing(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    deliveries.settle("tag")
    deliveries.settle("unknown")
    assert waiting(broker) == ["tag"]
    assert broker.zrange(OPEN, 0, -1) == ["task"]


def test_what_is_given_back_is_received_next(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries, "1", "first")
    push(deliveries, "2", "second")
    receive(deliveries)
    broker.delete(BELL)
    deliveries.give_back("first")
    assert waiting(broker) == ["first", "second"]
    assert held(broker) == set()
    assert broker.llen(BELL) == 1
    assert receive(deliveries) == "first"


def test_giving_back_what_is_not_held_changes_nothing(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    receive(deliveries)
    deliveries.settle("tag")
    deliveries.give_back("tag")
    assert waiting(broker) == []


def test_an_odd_id_and_an_odd_body_survive_being_given_back(deliveries: Deliveries, broker: Redis) -> None:
    odd = message("ä 'quoted' \\ \"id\"", "tag") | {"body": "lines\nof\n\ntext\x00 ✓"}
    deliveries.push(QUEUE, odd, RECORD)
    receive(deliveries)
    deliveries.give_back("tag")
    received = deliveries.receive(LISTS)
    assert received
    assert json.loads(received[1]) == odd
    deliveries.settle("tag")
    assert not broker.exists(OPEN)


def test_a_lease_is_renewed_only_while_it_is_there(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    receive(deliveries)
    let_lapse(broker, "tag")
    deliveries.renew(["tag", "settled long ago"])
    assert held(broker) == {"tag"}
    assert broker.zscore(LEASES, "tag") == pytest.approx(time.time() + LEASE_SECONDS, abs=5)


def test_to_renew_nothing_is_no_error(deliveries: Deliveries) -> None:
    deliveries.renew([])


# recover


def test_only_what_has_lapsed_is_given_back(deliveries: Deliveries, broker: Redis) -> None:
    for name in ("lapsed", "alive", "lapsed too"):
        push(deliveries, name, name)
        receive(deliveries)
    let_lapse(broker, "lapsed", "lapsed too")
    assert recover(deliveries) == (2, 0)
    assert set(waiting(broker)) == {"lapsed", "lapsed too"}
    assert held(broker) == {"alive"}


def test_a_page_at_a_time_is_given_back(deliveries: Deliveries, broker: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_delivery, "PAGE", 2)
    for name in "abc":
        push(deliveries, name, name)
        receive(deliveries)
    let_lapse(broker, *"abc")
    assert recover(deliveries) == (2, 0)
    assert recover(deliveries) == (1, 0)


def test_nobody_looks_when_another_has_just_looked(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    receive(deliveries)
    assert deliveries.recover(LISTS, every=60, patience=120) == (0, 0)
    let_lapse(broker, "tag")
    assert deliveries.recover(LISTS, every=60, patience=120) is None
    assert held(broker) == {"tag"}
    broker.set("leases:checked", time.time() - 61)
    assert deliveries.recover(LISTS, every=60, patience=120) == (1, 0)


def test_holders_get_time_to_renew_where_nobody_could_look_for_long(deliveries: Deliveries, broker: Redis) -> None:
    for name in ("living", "dead"):
        push(deliveries, name, name)
        receive(deliveries)
    recover(deliveries)
    let_lapse(broker, "living", "dead")
    broker.set("leases:checked", time.time() - PATIENCE - 1)
    assert recover(deliveries) == (0, 0)
    deliveries.renew(["living"])
    assert recover(deliveries) == (0, 0)
    assert float(str(broker.get("leases:trusted"))) == pytest.approx(time.time() + PATIENCE, abs=2)
    broker.set("leases:trusted", time.time())
    assert recover(deliveries) == (1, 0)
    assert held(broker) == {"living"}


def test_a_lease_on_nothing_is_forgotten(deliveries: Deliveries, broker: Redis) -> None:
    broker.zadd(LEASES, {"settled": time.time() - 1})
    recover(deliveries)
    assert not broker.exists(LEASES)


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
    assert json.loads(received[1])["headers"]["id"] == "task"


def test_a_message_whose_holder_was_forgotten_comes_back(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    receive(deliveries)
    broker.delete(UNACKED, LEASES)
    assert push_missing(deliveries) == 1
    assert receive(deliveries) == "tag"


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


def test_what_ends_during_the_search_is_not_pushed_again(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    receive(deliveries)
    pages = deliveries.push_missing(LISTS)
    deliveries.settle("tag")
    assert deliveries._push_again(args=["task", "tag"]) == 0
    assert sum(pages) == 0
    assert waiting(broker) == []


def test_a_task_whose_record_has_expired_is_no_longer_looked_for(deliveries: Deliveries, broker: Redis) -> None:
    push(deliveries)
    broker.delete(QUEUE, record_key("task"))
    assert recover(deliveries) == (0, 1)
    assert push_missing(deliveries) == 0
    assert not broker.exists(OPEN)
    assert recover(deliveries) == (0, 0)
