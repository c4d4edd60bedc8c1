"""What became of each task, worked out from the ledger."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from chaos.ledger import Event, Ledger

ACKNOWLEDGED_AFTER = 0.5
"""Seconds after its end in which a task's process, if killed, may not have told the broker yet."""
TICK = "tick"
"""The key of all that beat queues."""
LONGEST_PAUSE = 4.0
"""Seconds until a task is tried again."""
TOLERANCE = 0.2
"""Seconds between what happens and the line that says so, at worst."""


@dataclass
class Run:
    id: str
    attempt: int
    process: int
    parent: int
    started: float
    left: float | None = None
    """When it was over: ended, or left by an exception."""
    ended: bool = False


@dataclass
class Task:
    key: str
    sent: float | None = None
    """When the call that queued it returned; None as long as none did."""
    countdown: float = 0
    refused: bool = False
    runs: list[Run] = field(default_factory=list)

    @property
    def done(self) -> int:
        return sum(run.ended for run in self.runs)

    @property
    def unfinished(self) -> bool:
        return self.sent is not None and not self.done


@dataclass(frozen=True)
class Hit:
    pids: frozenset[int]
    began: float
    ended: float
    spares_the_done: bool
    """A shutdown: what ended before the process did is done with."""

    def broke_off(self, run: Run) -> bool:
        there = run.process in self.pids or run.parent in self.pids
        over = run.left + ACKNOWLEDGED_AFTER if run.left else self.ended
        meanwhile = run.started <= self.ended + TOLERANCE and self.began <= over
        return there and meanwhile and not (run.ended and self.spares_the_done)


class History:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.last_event = 0.0
        """When something happened to a task, beat's ticks apart."""
        self.hits: list[Hit] = []
        self.faults: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        """When each began and ended."""
        self.tasks: dict[str, Task] = {}

    def update(self) -> None:
        for event in self._ledger.new_events():
            self._add(event)

    def _add(self, event: Event) -> None:
        if event.get("key", TICK) != TICK:
            self.last_event = event["at"]
        match event["event"]:
            case "fault":
                self.faults[event["fault"]].append((event["began"], event["at"]))
            case "hit":
                self.hits.append(Hit(frozenset(event["pids"]), event["began"], event["at"], event["shutdown"]))
            case "sent":
                task = self._task(event)
                task.sent, task.countdown = event["at"], event["countdown"]
            case "refused":
                self._task(event).refused = True
            case "started":
                run = Run(event["id"], event["attempt"], event["pid"], event["parent"], event["at"])
                self._task(event).runs.append(run)
            case "ended" | "left":
                for run in reversed(self._task(event).runs):
                    if run.process == event["pid"] and run.left is None:
                        run.left, run.ended = event["at"], event["event"] == "ended"
                        break

    def _task(self, event: Event) -> Task:
        return self.tasks.setdefault(event["key"], Task(event["key"]))

    def of(self, name: str) -> list[Task]:
        """The tasks whose keys begin with this name."""
        return [task for key, task in self.tasks.items() if key.startswith(name)]

    def doubled_unhurt(self, task: Task) -> bool:
        """Whether it ran once more although nobody had touched the process in which it had run."""
        attempts: defaultdict[int, list[Run]] = defaultdict(list)
        for run in task.runs:
            attempts[run.attempt].append(run)
        for _, runs in sorted(attempts.items()):
            for first, _again in pairwise(runs):
                if not any(hit.broke_off(first) for hit in self.hits):
                    return True
            if len(runs) > 1:
                return False  # two that were retried rightly go on as two
        return False

    def longest_wait(self, fault: str, tasks: Iterable[Task]) -> float:
        """The longest that a task waited to start, or to start again, because of such a fault."""
        tasks = list(tasks)
        waits = (self._wait(task, began, ended) for began, ended in self.faults[fault] for task in tasks)
        return max(waits, default=0.0)

    def _wait(self, task: Task, began: float, ended: float) -> float:
        """From the fault's beginning, or from when the task was due if that was later."""
        next_starts = [run.started for run in task.runs if run.started > began]
        if task.sent is None or task.sent > ended or not next_starts:
            return 0.0
        due = task.sent + task.countdown
        if earlier := [run for run in task.runs if run.started <= began]:
            last = earlier[-1]
            if last.ended or not (last.left or any(hit.broke_off(last) for hit in self.hits)):
                return 0.0
            if last.left:
                due = last.left + LONGEST_PAUSE
        return next_starts[0] - max(began, due)
