"""The scripts of app/core/task_scripts.py under every order of events that Hypothesis thinks of."""

from collections import Counter
from typing import Any

import pytest
from delivery_model import HELD, LEASES, LISTS, Delivery, choices, tags_in, workers
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from app.core.task_leases import RECOVER_SECONDS


class DamagedDelivery(Delivery):
    """Somebody also deletes keys by hand."""

    @rule(queue=st.sampled_from(LISTS))
    def delete_a_queue(self, queue: str) -> None:
        self.redis.delete(queue)
        self._push_missing()

    @rule()
    def delete_what_is_held(self) -> None:
        for one in self.held:
            one.forgotten = True
        self.redis.delete(HELD, LEASES)
        self._push_missing()

    @rule(choice=choices)
    def delete_a_message(self, choice: int) -> None:
        queue = LISTS[choice % len(LISTS)]
        if texts := self.redis.lrange(queue, 0, -1):
            self.redis.lrem(queue, 1, texts[choice % len(texts)])
            self._push_missing()

    @rule()
    def delete_leases(self) -> None:
        """The next look gives them anew: the second, where the clock was set back so little that the first is early."""
        self.redis.delete(LEASES)
        self.pass_time(2 * RECOVER_SECONDS)

    def _push_missing(self) -> None:
        self._renew()
        places = self.places()
        missing = [task for task in self.tasks.values() if not task.ended and not places[task.tag]]
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

    @rule(worker=workers, first=st.sampled_from(LISTS), starts=st.booleans())
    def receive(self, worker: str, first: str, starts: bool) -> None:  # noqa: ARG002 (it starts what it has noted)
        self.note(worker)
        if worker in self.stopped:
            return
        for queue in sorted(LISTS, key=first.__ne__):
            if popped := self.redis.rpop(queue):
                self.popped[worker] = popped
                return

    @rule(worker=workers)
    def note(self, worker: str) -> None:
        if worker not in self.stopped and (payload := self.popped.pop(worker, None)):
            self.redis.lpush(f"popped by {worker}", payload)
            if received := self.deliveries.receive([f"popped by {worker}"]):
                self._take(worker, received)

    @rule(worker=workers)
    def crash(self, worker: str) -> None:
        super().crash(worker)
        self.popped.pop(worker, None)

    @rule()
    def sweep(self) -> None:
        self._recover()

    def places(self) -> Counter[str]:
        """A message is somewhere also while a living worker is about to note it."""
        return super().places() + Counter(tags_in(self.popped.values()))

    def teardown(self) -> None:
        self._patch.undo()


@pytest.mark.parametrize("machine", [Delivery, DamagedDelivery, UnseenDamage])
def test_no_order_of_events_loses_a_task_or_hands_it_out_twice(machine: type[Delivery]) -> None:
    search(machine, examples=60)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [Delivery, DamagedDelivery, UnseenDamage])
def test_nor_does_any_that_a_long_search_finds(machine: type[Delivery]) -> None:
    search(machine, examples=300, stateful_step_count=80, derandomize=settings().derandomize)


def test_the_search_finds_the_task_that_kombus_order_loses() -> None:
    with pytest.raises(AssertionError, match="has not ended, and is nowhere"):
        search(KombusOrder, examples=150, phases=[Phase.generate])


def search(machine: type[Delivery], examples: int, **options: Any) -> None:
    options = {"derandomize": True, "stateful_step_count": 40, **options}
    checked = settings(max_examples=examples, deadline=None, database=None, report_multiple_bugs=False, **options)
    run_state_machine_as_test(machine, settings=checked)
