"""Tables of what became of the tasks, one row for each fault, and the evidence for what must not be."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from chaos.history import TICK, History, Task
from chaos.ledger import Event

COLUMNS = (
    "fault", "times", "sent", "refused", "done", "lost", "stuck", "done twice", "twice, nobody hit", "longest wait",
)  # fmt: skip
BEAT = "beat killed"
STARTING = 10.0
"""Seconds in which a beat that was killed is back."""
MOST_TOLD = 20
"""Tasks of one kind and fault."""
MEANWHILE = 20.0
"""Seconds before and after a task within which faults are told with it."""


@dataclass(frozen=True)
class Row:
    fault: str
    times: int
    sent: int
    refused: int
    done: int
    lost: list[Task]
    stuck: list[Task]
    twice: int
    unhurt: list[Task]
    wait: float

    def cells(self) -> tuple[str, ...]:
        numbers = (self.times, self.sent, self.refused, self.done, len(self.lost), len(self.stuck), self.twice)
        return (self.fault, *(f"{number:,}" for number in (*numbers, len(self.unhurt))), f"{self.wait:.1f} s")

    @property
    def is_sound(self) -> bool:
        return not (self.lost or self.stuck or self.unhurt)


def rows(history: History, names: dict[str, str], waiting: dict[str, list[str]]) -> list[Row]:
    """`names` are the faults' by the beginnings of the keys sent meanwhile; `waiting`, the keys still in the broker."""
    made = []
    for name, fault in names.items():
        tasks = history.of(f"{name}/")
        sent = [task for task in tasks if task.sent]
        unfinished = [task for task in sent if task.unfinished]
        made.append(
            Row(
                fault=fault,
                times=len(history.faults[fault]),
                sent=len(sent),
                refused=sum(task.refused for task in tasks),
                done=len(sent) - len(unfinished),
                lost=[task for task in unfinished if task.key not in waiting],
                stuck=[task for task in unfinished if task.key in waiting],
                twice=sum(task.done > 1 for task in tasks),
                unhurt=[task for task in tasks if history.doubled_unhurt(task)],
                wait=_silence_of_beat(history) if fault == BEAT else history.longest_wait(fault, tasks),
            )
        )
    return made


def table(rows: list[Row]) -> str:
    lines = [COLUMNS, ("---", *["--:"] * (len(COLUMNS) - 1)), *(row.cells() for row in [*rows, _all(rows)])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _all(rows: list[Row]) -> Row:
    return Row(
        fault="all",
        times=sum(row.times for row in rows),
        sent=sum(row.sent for row in rows),
        refused=sum(row.refused for row in rows),
        done=sum(row.done for row in rows),
        lost=[task for row in rows for task in row.lost],
        stuck=[task for row in rows for task in row.stuck],
        twice=sum(row.twice for row in rows),
        unhurt=[task for row in rows for task in row.unhurt],
        wait=max(row.wait for row in rows),
    )


def evidence(row: Row, events: list[Event], waiting: dict[str, list[str]], logs: list[Path]) -> str:
    """All that is known of the tasks that were lost, stuck or run twice for no reason."""
    log = [(file.stem, line) for file in logs for line in file.read_text(errors="replace").splitlines()]
    lines = []
    for what, tasks in (("lost", row.lost), ("stuck", row.stuck), ("twice, nobody hit", row.unhurt)):
        for task in tasks[:MOST_TOLD]:
            lines.append(f"{row.fault}: {what}: {task.key}, in Redis: {waiting.get(task.key, 'nowhere')}")
            told = [event for event in events if event.get("key") == task.key]
            first, last = told[0]["at"] - MEANWHILE, told[-1]["at"] + MEANWHILE
            told += [event for event in events if event["event"] in ("fault", "hit") and first < event["at"] < last]
            lines += [f"    {event}" for event in sorted(told, key=lambda event: float(event["at"]))]
            ids = {event["id"] for event in told if "id" in event}
            lines += [f"    {file}: {line}" for file, line in log if any(task_id in line for task_id in ids)]
    return "\n".join(lines)


def _silence_of_beat(history: History) -> float:
    """The longest time without a tick after beat was killed."""
    starts = sorted(run.started for run in history.tasks[TICK].runs)
    return max(
        later - earlier
        for began, _ in history.faults[BEAT]
        for earlier, later in pairwise(starts)
        if earlier - STARTING < began < later
    )
