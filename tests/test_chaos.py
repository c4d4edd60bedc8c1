"""The injector's judgement: what it says of tasks whose course the ledger tells."""

from pathlib import Path
from typing import Any

import pytest

from chaos.history import History
from chaos.ledger import Ledger
from chaos.report import Row, rows

PARENT, CHILD, OTHER = 10, 11, 22


class Story:
    """Events at seconds of the test's choice."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ledger = Ledger(path)
        self._tell("fault", 5.0, fault="a fault", began=5.0)

    def sent(self, at: float = 1.0) -> None:
        self._tell("sent", at, id="id", countdown=0)

    def ran(self, started: float, ended: float | None, *, pid: int = CHILD, attempt: int = 0) -> None:
        told: dict[str, Any] = {"id": "id", "pid": pid, "parent": PARENT, "attempt": attempt}
        self._tell("started", started, **told)
        if ended:
            self._tell("ended", ended, **told)

    def hit(self, began: float, ended: float, *, pid: int = CHILD, shutdown: bool = False) -> None:
        self._tell("hit", ended, pids=[pid], began=began, shutdown=shutdown)

    def row(self, *waiting: str) -> Row:
        history = History(Ledger(self._path))
        history.update()
        (row,) = rows(history, {"r0": "a fault"}, {key: ["queue"] for key in waiting})
        return row

    def _tell(self, event: str, at: float, **details: Any) -> None:
        self._ledger.note(event, **{"at": at, "key": "r0/1"} | details)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "ledger")


def test_a_task_that_ended_once_is_done(story: Story) -> None:
    story.sent()
    story.ran(2, 3)
    row = story.row()
    assert (row.sent, row.done, row.twice, row.is_sound) == (1, 1, 0, True)


def test_a_task_that_never_ended_is_lost_unless_it_waits(story: Story) -> None:
    story.sent()
    story.ran(2, None)
    assert [task.key for task in story.row().lost] == ["r0/1"]
    assert [task.key for task in story.row("r0/1").stuck] == ["r0/1"]


def test_what_was_not_queued_is_not_missed(story: Story) -> None:
    assert (story.row().sent, story.row().is_sound) == (0, True)


@pytest.mark.parametrize("pid", [CHILD, PARENT])
def test_a_task_whose_process_or_parent_was_killed_may_run_again(story: Story, pid: int) -> None:
    story.sent()
    story.ran(4, None)
    story.hit(5, 5, pid=pid)
    story.ran(15, 16, pid=OTHER)
    row = story.row()
    assert (row.done, row.twice, row.is_sound) == (1, 0, True)
    assert row.wait == 10


def test_a_living_process_s_task_must_not_run_again(story: Story) -> None:
    story.sent()
    story.ran(4, 8)
    story.hit(5, 5, pid=OTHER)
    story.ran(6, 7, pid=OTHER)
    row = story.row()
    assert (row.twice, [task.key for task in row.unhurt]) == (1, ["r0/1"])


def test_a_task_that_ended_long_before_the_kill_must_not_run_again(story: Story) -> None:
    story.sent()
    story.ran(2, 3)
    story.hit(5, 5)
    story.ran(15, 16, pid=OTHER)
    assert story.row().unhurt


def test_a_shutdown_excuses_only_what_had_not_ended(story: Story) -> None:
    story.sent()
    story.ran(2, 6)
    story.hit(5, 7, shutdown=True)
    story.ran(15, 16, pid=OTHER)
    assert story.row().unhurt


def test_a_retry_is_no_second_run(story: Story) -> None:
    story.sent()
    story.ran(2, 3, attempt=0)
    story.ran(4, 5, attempt=1)
    assert not story.row().unhurt
