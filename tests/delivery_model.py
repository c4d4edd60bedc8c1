"""A model of how messages are delivered: events, each of which calls a step of it, and what must hold after each.

Redis is an in-memory one with a clock of ours. Workers are models: each event is one step of one of them, so that what
follows may come between any two steps. A worker that crashes forgets what it holds, and starts again with nothing.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest
from fakeredis.commands_mixins import server_mixin
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from rendering import ROOT

sys.path.append(str(ROOT / "template"))

from app.core import task_delivery, task_record
from app.core.task_delivery import LEASE_SECONDS, Deliveries, Received
from app.core.task_keys import record_key
from app.core.task_leases import OUTAGE_SECONDS, RECOVER_SECONDS, RETURN_SECONDS
from app.core.task_record import Start, note_start, starts_field
from app.core.task_running import RENEW_SECONDS
from app.core.task_scripts import OPEN

LISTS = ["urgent", "default"]
HELD, LEASES = "unacked", "unacked_index"
JUNK = [
    "no JSON",
    '{"headers": {"id": "two\\nlines"}, "properties": {"delivery_tag": "of junk"}}',
    '{"headers": {"id": "junk"}, "properties": {"delivery_tag": "junk"}}',
]
workers = st.sampled_from("AB")
choices = st.integers(0, 9)
"""Which one of several, in whatever order they are."""
holding = precondition(lambda self: bool(self.at_work()))
"""A step of a worker that has received something."""


@dataclass
class Task:
    queue: str
    ended: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)
    """One a try; only the last one counts."""
    starts: set[str] = field(default_factory=set)
    """The deliveries by which that one was started, other than those that were handed back in good order."""

    @property
    def tag(self) -> str:
        return tag_of(self.messages[-1])

    @property
    def retries(self) -> int:
        return len(self.messages) - 1


@dataclass
class Holding:
    """What a worker believes to hold."""

    worker: str
    task_id: str
    tag: str
    retries: int
    delivery: str
    may_lapse: bool = False
    """The worker was stopped: another one may hold the message by now."""
    forgotten: bool = False
    """Somebody has deleted what is held: another one may hold the message by now."""


def tag_of(message: dict[str, Any]) -> str:
    return str(message["properties"]["delivery_tag"])


def tags_in(payloads: Iterable[bytes]) -> list[str]:
    return [tag_of(json.loads(payload)) for payload in payloads if payload.decode() not in JUNK]


class Delivery(RuleBasedStateMachine):
    """Everything that may happen to a service while nobody deletes its keys by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        self.redis: Any = fakeredis.FakeRedis(server=fakeredis.FakeServer())
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(server_mixin, "time", SimpleNamespace(time=lambda: self.now))
        self._patch.setattr(task_record, "records_client", lambda: self.redis)
        self._patch.setattr(task_delivery, "get_celery_settings", lambda: SimpleNamespace(result_expires=86_400))
        self.deliveries = Deliveries(self.redis)
        self.tasks: dict[str, Task] = {}
        self.held: list[Holding] = []
        self.stopped: set[str] = set()
        self.names: set[str] = set()
        """Of all deliveries there ever were."""

    # what programs do

    @rule(queue=st.sampled_from(LISTS))
    def push(self, queue: str) -> None:
        task_id = f"task {len(self.tasks) + 1}"
        self.tasks[task_id] = Task(queue)
        self._push(task_id)

    def _push(self, task_id: str) -> None:
        task = self.tasks[task_id]
        tag = f"{task_id}, try {len(task.messages) + 1}"
        task.messages.append({"headers": {"id": task_id}, "properties": {"delivery_tag": tag}})
        task.starts.clear()
        task.ended = False
        self.deliveries.push(task.queue, task.messages[-1], {"name": "a task"})

    @precondition(lambda self: bool(self.tasks))
    @rule(choice=choices)
    def push_a_copy(self, choice: int) -> None:
        """Of any message there ever was, as a network does that delivers twice."""
        messages = [(task.queue, message) for task in self.tasks.values() for message in task.messages]
        queue, message = messages[choice % len(messages)]
        self.redis.lpush(queue, json.dumps(message))

    @rule(queue=st.sampled_from(LISTS), junk=st.sampled_from(JUNK))
    def push_junk(self, queue: str, junk: str) -> None:
        self.redis.lpush(queue, junk)

    # what workers do; each step also by a delivery that holds its message no more

    @rule(worker=workers, first=st.sampled_from(LISTS), starts=st.booleans())
    def receive(self, worker: str, first: str, starts: bool) -> None:
        if worker not in self.stopped and (received := self.deliveries.receive(sorted(LISTS, key=first.__ne__))):
            self._take(worker, received, starts)

    def _take(self, worker: str, received: Received, starts: bool = False) -> None:
        if received.payload.decode() in JUNK:
            if received.delivery:
                self.deliveries.settle(received.delivery)
            return
        message = json.loads(received.payload)
        task_id, tag, delivery = message["headers"]["id"], tag_of(message), received.delivery
        task = self.tasks[task_id]
        assert delivery, f"{tag} was received without a delivery"
        assert delivery not in self.names, f"there was a delivery {delivery} before"
        assert not task.ended, f"{tag} was received again, and the task had ended"
        assert tag == task.tag, f"{tag} was received, and a retry had replaced it"
        self.names.add(delivery)
        self.held.append(Holding(worker, task_id, tag, task.retries, delivery))
        if starts:
            self._start(self.held[-1])

    def at_work(self) -> list[Holding]:
        return [one for one in self.held if one.worker not in self.stopped]

    def _choose(self, choice: int) -> Holding:
        at_work = self.at_work()
        return at_work[choice % len(at_work)]

    def _holds(self, chosen: Holding) -> bool:
        return bool(self.redis.hexists(HELD, chosen.delivery))

    @contextmanager
    def _without_effect_unless(self, holds: bool) -> Iterator[None]:
        before = None if holds else self.everything()
        yield
        assert holds or self.everything() == before, "a delivery that had lapsed had an effect"

    def everything(self) -> dict[bytes, Any]:
        read: dict[bytes, Callable[[bytes], Any]] = {
            b"hash": self.redis.hgetall,
            b"list": lambda key: self.redis.lrange(key, 0, -1),
            b"string": self.redis.get,
            b"zset": lambda key: self.redis.zrange(key, 0, -1, withscores=True),
        }
        return {key: read[self.redis.type(key)](key) for key in self.redis.scan_iter()}

    @holding
    @rule(choice=choices, asks_again=st.booleans())
    def start(self, choice: int, asks_again: bool) -> None:
        """Who asks again has missed the answer."""
        chosen = self._choose(choice)
        for _ in range(1 + asks_again):
            self._start(chosen)

    def _start(self, chosen: Holding) -> None:
        task = self.tasks[chosen.task_id]
        holds = self._holds(chosen) and chosen.tag == task.tag
        with self._without_effect_unless(holds):
            started = note_start(chosen.task_id, chosen.retries, chosen.delivery)
        if holds:
            task.starts.add(chosen.delivery)
            assert started == Start(len(task.starts), cancelled=False)
        else:
            assert started is None, f"{chosen} holds nothing, and starts"

    @holding
    @rule(choice=choices)
    def settle(self, choice: int) -> None:
        self._settle(self._choose(choice))

    def _settle(self, chosen: Holding) -> None:
        task, holds = self.tasks[chosen.task_id], self._holds(chosen)
        self.held.remove(chosen)
        with self._without_effect_unless(holds):
            self.deliveries.settle(chosen.delivery)
        assert not self._holds(chosen), f"{chosen} was settled, and is held"
        if holds and chosen.tag == task.tag:
            task.ended = True

    @holding
    @rule(choice=choices)
    def retry(self, choice: int) -> None:
        """The first half of it. The message that it replaces is settled by another step, or not at all.

        Nothing keeps a task that was started, and then lost its message, from this: it opens also one that has ended.
        """
        chosen = self._choose(choice)
        if chosen.tag == self.tasks[chosen.task_id].tag:
            self._push(chosen.task_id)

    @holding
    @rule(choice=choices)
    def give_back(self, choice: int) -> None:
        chosen = self._choose(choice)
        self.held.remove(chosen)
        with self._without_effect_unless(self._holds(chosen)):
            self.deliveries.give_back(chosen.delivery)
        assert not self._holds(chosen), f"{chosen} was given back, and is held"

    @holding
    @rule(choice=choices, cold=st.booleans())
    def hand_back(self, choice: int, cold: bool) -> None:
        """Its worker ends, or has lost its connection: what is started runs on, unless the shutdown is a cold one."""
        chosen = self._choose(choice)
        starts, holds = self.tasks[chosen.task_id].starts, self._holds(chosen)
        runs_on = chosen.delivery in starts and not cold
        with self._without_effect_unless(holds and not runs_on):
            self.deliveries.hand_back(chosen.delivery, starts_field(chosen.retries), also_started=cold)
        if not runs_on:
            self.held.remove(chosen)
            if holds:
                starts.discard(chosen.delivery)

    @rule(worker=workers)
    def crash(self, worker: str) -> None:
        self.held = [one for one in self.held if one.worker != worker]
        self.stopped.discard(worker)

    @holding
    @rule(choice=choices, seconds=st.sampled_from([0, 2 * LEASE_SECONDS]))
    def stop(self, choice: int, seconds: float) -> None:
        """A worker renews nothing, until it wakes up and goes on as if no time had passed."""
        worker = self._choose(choice).worker
        self.stopped.add(worker)
        for one in self.held:
            one.may_lapse |= one.worker == worker
        self.pass_time(seconds)

    @precondition(lambda self: bool(self.stopped))
    @rule()
    def wake_up(self) -> None:
        self.stopped.clear()

    # what time does

    @rule(seconds=st.sampled_from([0.5, RENEW_SECONDS, LEASE_SECONDS, 3 * LEASE_SECONDS]))
    def pass_time(self, seconds: float) -> None:
        """Workers renew what they hold, and one of them looks for what others left behind, each when it is due."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + RECOVER_SECONDS)
            self._renew()
            self.sweep()

    def _renew(self) -> None:
        before = self.redis.zrange(LEASES, 0, -1)
        self.deliveries.renew([one.delivery for one in self.at_work()])
        assert sorted(self.redis.zrange(LEASES, 0, -1)) == sorted(before), "a renewal has made a lease"

    @rule()
    def sweep(self) -> None:
        if recovered := self._recover():
            assert recovered.missing <= 0, f"{recovered.missing} are missed, and all are there"

    def _recover(self) -> Any:
        return self.deliveries.recover(LISTS, RECOVER_SECONDS * 0.9, OUTAGE_SECONDS, RETURN_SECONDS)

    @rule(seconds=st.sampled_from([OUTAGE_SECONDS, LEASE_SECONDS, 10 * LEASE_SECONDS]))
    def lose_sight_of_redis(self, seconds: float) -> None:
        """For a while nobody can renew, nor look; then those who look are the first to be back."""
        self._renew()
        self.sweep()
        self.now += seconds
        self.sweep()
        self.now += RENEW_SECONDS
        self.sweep()
        self._renew()

    @rule(seconds=st.sampled_from([1.0, LEASE_SECONDS, 3_600.0]))
    def set_the_clock_back(self, seconds: float) -> None:
        """The server's clock was wrong, and somebody sets it right."""
        self.now -= seconds

    # what must hold after each step

    def places(self) -> Counter[str]:
        """How often each message is in a queue or held."""
        waiting = [payload for queue in LISTS for payload in self.redis.lrange(queue, 0, -1)]
        return Counter([*tags_in(waiting), *self.tags_held()])

    def tags_held(self) -> list[str]:
        return [delivery.decode().rpartition("/")[0] for delivery in self.redis.hkeys(HELD)]

    @invariant()
    def no_open_task_is_nowhere(self) -> None:
        places = self.places()
        for task_id, task in self.tasks.items():
            assert task.ended or places[task.tag], f"{task_id} has not ended, and is nowhere"

    @invariant()
    def redis_knows_which_tasks_are_open(self) -> None:
        still_open = {task_id for task_id, task in self.tasks.items() if not task.ended}
        assert {task_id.decode() for task_id in self.redis.zrange(OPEN, 0, -1)} == still_open
        for task_id in self.tasks:
            assert self.redis.hexists(record_key(task_id), "tag") == (task_id in still_open)

    @invariant()
    def starts_are_counted(self) -> None:
        for task_id, task in self.tasks.items():
            counted = self.redis.hget(record_key(task_id), starts_field(task.retries))
            assert int(counted or 0) == len(task.starts), f"{task_id} was started by {task.starts}"

    @invariant()
    def no_message_is_held_twice(self) -> None:
        tags = self.tags_held()
        assert len(tags) == len(set(tags)), f"{tags} are held"

    @invariant()
    def who_renews_its_leases_keeps_what_it_holds(self) -> None:
        for one in self.held:
            assert one.may_lapse or one.forgotten or self._holds(one), f"{one} was lost"

    @invariant()
    def what_is_held_has_a_lease(self) -> None:
        assert set(self.redis.hkeys(HELD)) == set(self.redis.zrange(LEASES, 0, -1))

    # in the end

    def teardown(self) -> None:
        """Where workers live and time passes, every task ends."""
        try:
            patience = self.now + 4 * LEASE_SECONDS
            while self.now < patience and self.redis.exists(HELD, OPEN, *LISTS):
                while received := self.deliveries.receive(LISTS):
                    self._take("A", received)
                for one in list(self.held):
                    self._settle(one)
                self.now += RECOVER_SECONDS
                self.find_what_is_missing()
            unfinished = [task_id for task_id, task in self.tasks.items() if not task.ended]
            assert not unfinished, f"{unfinished} did not end"
        finally:
            self._patch.undo()

    def find_what_is_missing(self) -> None:
        self.sweep()
