"""The messages of tasks in Redis, handed out and taken back by the scripts of task_scripts.py."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kombu.transport.redis import Channel
from kombu.utils.json import dumps
from redis import Redis

from app.core.config.celery import get_celery_settings
from app.core.task_keys import record_key
from app.core.task_scripts import (
    GIVE_BACK,
    HAND_BACK,
    OPEN,
    PUSH,
    PUSH_AGAIN,
    RECEIVE,
    RECOVER,
    RENEW,
    SETTLE,
)

LEASE_SECONDS = 10.0
"""How long a message stays with a worker that has stopped to renew its lease."""
PAGE = 1_000
"""Messages that are looked at in one step."""

_TAG = re.compile(rb'"delivery_tag": ?"([^"]+)"')


class Received(NamedTuple):
    queue: str
    """The list that it was in."""
    payload: bytes
    delivery: str | None
    """By which it is held from now on; None for what is no task's message, and is held by nobody."""


class Recovered(NamedTuple):
    given_back: int
    """Messages whose lease had lapsed."""
    missing: int
    """Messages that ought to be in a queue or held, and are not; fewer where others wait that have no record."""


def queue_lists(queues: Sequence[str]) -> list[str]:
    """The lists of these queues, one a priority: the most urgent of all queues first."""
    return [
        f"{queue}{Channel.sep}{priority}" if priority else queue
        for priority in Channel.priority_steps
        for queue in queues
    ]


def push_command(queue: str, message: Mapping[str, Any], record: Mapping[str, str]) -> list[Any]:
    """What EVAL has to be given to push a task's message, as kombu would have written it, to the list `queue`."""
    once = "1" if message["properties"].get("once") else "0"
    fields = [text for field in record.items() for text in field]
    return [PUSH, 1, queue, dumps(message), get_celery_settings().result_expires, once, *fields]


def receive_command(lists: Sequence[str]) -> list[Any]:
    return [RECEIVE, len(lists), *lists, LEASE_SECONDS]


def read_received(answer: list[bytes] | None) -> Received | None:
    if not answer:
        return None
    queue, payload, *delivery = answer
    return Received(queue.decode(), payload, delivery[0].decode() if delivery else None)


class Deliveries:
    """The steps, for a blocking client of the broker's database that leaves bytes as they are."""

    def __init__(self, broker: Redis) -> None:
        self._broker: Any = broker  # its stubs allow for any kind of answer

    def push(self, queue: str, message: Mapping[str, Any], record: Mapping[str, str]) -> None:
        self._broker.eval(*push_command(queue, message, record))

    def receive(self, lists: Sequence[str]) -> Received | None:
        """The next message, held from now on; None where there is nothing."""
        return read_received(self._broker.eval(*receive_command(lists)))

    def settle(self, delivery: str) -> None:
        """The message is done with."""
        self._broker.eval(SETTLE, 0, delivery, get_celery_settings().result_expires)

    def give_back(self, delivery: str) -> None:
        """Put it where it is received next."""
        self._broker.eval(GIVE_BACK, 0, delivery)

    def hand_back(self, delivery: str, starts_field: str, *, also_started: bool) -> None:
        """Give it back in good order: where its task was started, that does not count."""
        self._broker.eval(HAND_BACK, 0, delivery, starts_field, "1" if also_started else "0")

    def renew(self, deliveries: Sequence[str]) -> None:
        if deliveries:
            self._broker.eval(RENEW, 0, LEASE_SECONDS, *deliveries)

    def recover(self, lists: Sequence[str], every: float, outage: float, patience: float) -> Recovered | None:
        """Give back what nobody holds any more; None when that was done less than `every` seconds ago.

        Not done for longer than `outage` seconds, it lets holders renew their leases for `patience` seconds first.
        The cost grows with the lists and with what is given back, not with what waits.
        """
        found = self._broker.eval(RECOVER, len(lists), *lists, every, outage, patience, LEASE_SECONDS, PAGE)
        return Recovered(*found) if found else None

    def push_missing(self, lists: Sequence[str]) -> Iterator[int]:
        """Push again what is neither in a queue nor held; yields after each page how many that were.

        Looks at every message that waits. What moves meanwhile may be pushed a second time: the copy is dropped.
        """
        ids = self._broker.zrange(OPEN, 0, -1)  # before the messages, or what comes meanwhile would seem to be missing
        waiting: set[bytes] = set()
        for queue in lists:
            for start in range(0, self._broker.llen(queue), PAGE):
                page = self._broker.lrange(queue, start, start + PAGE - 1)
                waiting.update(found[1] for payload in page if (found := _TAG.search(payload)))
                yield 0
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            pipeline = self._broker.pipeline(transaction=False)
            for task_id in page:
                pipeline.hget(record_key(task_id.decode()), "tag")
            pushed = 0
            for task_id, tag in zip(page, pipeline.execute(), strict=True):
                if tag is None:  # its record has expired
                    self._broker.zrem(OPEN, task_id)
                elif tag not in waiting:
                    pushed += self._broker.eval(PUSH_AGAIN, 0, task_id, tag)
            yield pushed
