"""The scripts of app/core/task_delivery.py under every order of events that Hypothesis thinks of.

Redis is an in-memory one with a clock of ours. Workers are models: each event is one step of one of them, so that what
follows may come between any two steps. A worker that crashes forgets what it holds, and starts again with nothing.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest
from fakeredis.commands_mixins import server_mixin
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from rendering import ROOT

sys.path.append(str(ROOT / "template"))

from app.core.task_delivery import LEASE_SECONDS, OPEN, Deliveries
from app.core.task_keys import record_key
from app.core.task_leases import RECOVER_SECONDS, RENEW_SECONDS, RETURN_SECONDS

LISTS = ["urgent", "default"]
UNACKED, LEASES = "unacked", "unacked_index"
workers = st.sampled_from("ABC")
choices = st.integers(0, 9)
"""Which one of several, in whatever order they are."""


@dataclass
class Task:
    queue: str
    tries: int = 1
    ended: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)
    """One a try; only the last one counts."""

    @property
    def message(self) -> dict[str, Any]:
        return self.messages[-1]


def tag_of(message: dict[str, Any]) -> str:
    return str(message["properties"]["delivery_tag"])


class Delivery(RuleBasedStateMachine):
    """Everything that may happen to a service while nobody deletes its keys by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000_000.0
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(server_mixin, "time", SimpleNamespace(time=lambda: self.now))
        self.redis: Any = fakeredis.FakeRedis(server=fakeredis.FakeServer())
        self.deliveries = Deliveries(self.redis)
        self.tasks: dict[str, Task] = {}
        self.held: dict[str, list[tuple[str, str]]] = {worker: [] for worker in "ABC"}
        """By worker: task and tag of each message that it has received and not settled."""
        self.damaged: set[str] = set()
        """Tags whose holder was forgotten by hand, which two may hold from then on."""

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
        self.deliveries.push(task.queue, task.message, {"name": "a task"})

    @precondition(lambda self: self.tasks)
    @rule(choice=choices)
    def push_a_copy(self, choice: int) -> None:
        """Of any message there ever was, as a network does that delivers twice."""
        messages = [(task.queue, message) for task in self.tasks.values() for message in task.messages]
        queue, message = messages[choice % len(messages)]
        self.redis.lpush(queue, json.dumps(message))

    # what workers do

    @rule(worker=workers, first=st.sampled_from(LISTS))
    def receive(self, worker: str, first: str) -> None:
        if received := self.deliveries.receive(sorted(LISTS, key=first.__ne__)):
            self._take(worker, received[1])

    def _take(self, worker: str, payload: bytes) -> None:
        message = json.loads(payload)
        task_id, tag = message["headers"]["id"], tag_of(message)
        task = self.tasks[task_id]
        assert not task.ended, f"{tag} was received again, and the task had ended"
        assert tag == tag_of(task.message), f"{tag} was received, and a retry had replaced it"
        holders = [other for other in self.held if (task_id, tag) in self.held[other]]
        assert not holders or tag in self.damaged, f"{worker} received {tag}, which {holders} holds"
        self.held[worker].append((task_id, tag))

    def _choose(self, worker: str, choice: int) -> tuple[str, str] | None:
        held = self.held[worker]
        return held[choice % len(held)] if held else None

    @rule(worker=workers, choice=choices)
    def settle(self, worker: str, choice: int) -> None:
        if chosen := self._choose(worker, choice):
            self._settle(worker, *chosen)

    def _settle(self, worker: str, task_id: str, tag: str) -> None:
        self.held[worker].remove((task_id, tag))
        known = self.redis.hexists(UNACKED, tag)
        self.deliveries.settle(tag)
        if known and tag == tag_of(self.tasks[task_id].message):
            self.tasks[task_id].ended = True

    @rule(worker=workers, choice=choices)
    def retry(self, worker: str, choice: int) -> None:
        """The first half of it. The message that it replaces is settled by another step, or not at all."""
        chosen = self._choose(worker, choice)
        if chosen and chosen[1] == tag_of(self.tasks[chosen[0]].message) and chosen[1] not in self.damaged:
            self._push(chosen[0])

    @rule(worker=workers, choice=choices)
    def give_back(self, worker: str, choice: int) -> None:
        chosen = self._choose(worker, choice)
        if chosen and chosen[1] not in self.damaged:
            self.held[worker].remove(chosen)
            self.deliveries.give_back(chosen[1])

    @rule(worker=workers)
    def crash(self, worker: str) -> None:
        self.held[worker].clear()

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
        self.deliveries.renew([tag for held in self.held.values() for _, tag in held])

    @rule()
    def sweep(self) -> None:
        if recovered := self._recover():
            assert recovered.missing <= 0, f"{recovered.missing} are missed, and all are there"

    def _recover(self) -> Any:
        return self.deliveries.recover(LISTS, RECOVER_SECONDS * 0.9, RETURN_SECONDS)

    @rule(seconds=st.sampled_from([RETURN_SECONDS - RECOVER_SECONDS, LEASE_SECONDS, 10 * LEASE_SECONDS]))
    def lose_sight_of_redis(self, seconds: float) -> None:
        """For a while nobody can renew, nor look; then those who look are the first to be back."""
        self._renew()
        self.sweep()
        self.now += seconds
        self.sweep()
        self.now += RENEW_SECONDS
        self.sweep()
        self._renew()

    # what must hold after each step

    def places(self) -> Counter[str]:
        """How often each message is in a queue or held."""
        waiting = [json.loads(text) for queue in LISTS for text in self.redis.lrange(queue, 0, -1)]
        return Counter([*map(tag_of, waiting), *(tag.decode() for tag in self.redis.hkeys(UNACKED))])

    @invariant()
    def no_open_task_is_nowhere(self) -> None:
        places = self.places()
        for task_id, task in self.tasks.items():
            assert task.ended or places[tag_of(task.message)], f"{task_id} has not ended, and is nowhere"

    @invariant()
    def redis_knows_which_tasks_are_open(self) -> None:
        still_open = {task_id for task_id, task in self.tasks.items() if not task.ended}
        assert {task_id.decode() for task_id in self.redis.zrange(OPEN, 0, -1)} == still_open
        for task_id in self.tasks:
            assert self.redis.hexists(record_key(task_id), "tag") == (task_id in still_open)

    @invariant()
    def what_is_held_has_a_lease(self) -> None:
        assert set(self.redis.hkeys(UNACKED)) == set(self.redis.zrange(LEASES, 0, -1))

    # in the end

    def teardown(self) -> None:
        """Where workers live and time passes, every task ends."""
        try:
            patience = self.now + 4 * LEASE_SECONDS
            while self.now < patience and self.redis.exists(UNACKED, OPEN, *LISTS):
                while received := self.deliveries.receive(LISTS):
                    self._take("A", received[1])
                for worker, held in self.held.items():
                    for task_id, tag in list(held):
                        self._settle(worker, task_id, tag)
                self.now += RECOVER_SECONDS
                self.find_what_is_missing()
            unfinished = [task_id for task_id, task in self.tasks.items() if not task.ended]
            assert not unfinished, f"{unfinished} did not end"
        finally:
            self._patch.undo()

    def find_what_is_missing(self) -> None:
        self.sweep()


class DamagedDelivery(Delivery):
    """Somebody also deletes keys by hand."""

    @rule(queue=st.sampled_from(LISTS))
    def delete_a_queue(self, queue: str) -> None:
        self.redis.delete(queue)
        self._push_missing()

    @rule()
    def delete_what_is_held(self) -> None:
        self.damaged |= {tag.decode() for tag in self.redis.hkeys(UNACKED)}
        self.redis.delete(UNACKED, LEASES)
        self._push_missing()

    @rule(choice=choices)
    def delete_a_message(self, choice: int) -> None:
        queue = LISTS[choice % len(LISTS)]
        if texts := self.redis.lrange(queue, 0, -1):
            self.redis.lrem(queue, 1, texts[choice % len(texts)])
            self._push_missing()

    def _push_missing(self) -> None:
        places = self.places()
        missing = [task for task in self.tasks.values() if not task.ended and not places[tag_of(task.message)]]
        assert sum(self.deliveries.push_missing(LISTS)) == len(missing)


class UnseenDamage(DamagedDelivery):
    """Nobody looks for what is missing until the end: workers find it by themselves."""

    no_open_task_is_nowhere = None  # type: ignore[assignment]  # it is, for a while

    def _push_missing(self) -> None:
        pass

    @rule()
    def sweep(self) -> None:
        self._recover()

    def find_what_is_missing(self) -> None:
        if (recovered := self._recover()) and recovered.missing > 0:
            for _ in self.deliveries.push_missing(LISTS):
                pass


class KombusOrder(Delivery):
    """A message is popped, and noted by the step after: what kombu's own transport does."""

    def __init__(self) -> None:
        super().__init__()
        self.popped: dict[str, bytes] = {}

    @rule(worker=workers, first=st.sampled_from(LISTS))
    def receive(self, worker: str, first: str) -> None:
        self.note(worker)
        for queue in sorted(LISTS, key=first.__ne__):
            if popped := self.redis.rpop(queue):
                self.popped[worker] = popped
                return

    @rule(worker=workers)
    def note(self, worker: str) -> None:
        if payload := self.popped.pop(worker, None):
            self.redis.lpush(f"popped by {worker}", payload)
            if received := self.deliveries.receive([f"popped by {worker}"]):
                self._take(worker, received[1])

    @rule(worker=workers)
    def crash(self, worker: str) -> None:
        self.held[worker].clear()
        self.popped.pop(worker, None)

    @rule()
    def sweep(self) -> None:
        self._recover()

    def places(self) -> Counter[str]:
        """A message is somewhere also while a living worker is about to note it."""
        return super().places() + Counter(tag_of(json.loads(payload)) for payload in self.popped.values())

    def teardown(self) -> None:
        self._patch.undo()


@pytest.mark.parametrize("machine", [Delivery, DamagedDelivery, UnseenDamage])
def test_no_order_of_events_loses_a_task_or_hands_it_out_twice(machine: type[Delivery]) -> None:
    search(machine, examples=150)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [Delivery, DamagedDelivery, UnseenDamage])
def test_nor_does_any_that_a_long_search_finds(machine: type[Delivery]) -> None:
    search(machine, examples=3_000, stateful_step_count=80, derandomize=False)


def test_the_search_finds_the_task_that_kombus_order_loses() -> None:
    with pytest.raises(AssertionError, match="has not ended, and is nowhere"):
        search(KombusOrder, examples=150, phases=[Phase.generate])


def search(machine: type[Delivery], examples: int, **options: Any) -> None:
    options = {"derandomize": True, "stateful_step_count": 40, **options}
    checked = settings(max_examples=examples, deadline=None, database=None, report_multiple_bugs=False, **options)
    run_state_machine_as_test(machine, settings=checked)
