"""When progress is written down."""

import threading
from collections.abc import Callable, Iterator
from queue import Empty, Queue

import pytest

from app.core import task_progress
from app.core.task_progress import ProgressReports


class Course:
    """Of a task that says how far it is."""

    def __init__(self) -> None:
        self.written: Queue[int] = Queue()
        self.reports = ProgressReports(lambda report: self.written.put(report["current"]))

    def reach(self, current: int) -> None:
        self.reports.add({"current": current})

    def next_written(self) -> int:
        return self.written.get(timeout=5)


@pytest.fixture
def course() -> Iterator[Course]:
    course = Course()
    yield course
    course.reports.close()


@pytest.fixture
def at_intervals_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    return lambda seconds: monkeypatch.setattr(task_progress, "PROGRESS_INTERVAL", seconds)


def test_the_first_report_is_written_at_once(at_intervals_of: Callable[[float], None], course: Course) -> None:
    at_intervals_of(60)
    course.reach(1)
    assert course.written.get_nowait() == 1


def test_of_a_hundred_in_a_row_the_newest_is_written_when_its_time_has_come(course: Course) -> None:
    for done in range(1, 101):
        course.reach(done)
    assert (course.next_written(), course.next_written()) == (1, 100)
    assert course.written.empty()


def test_what_comes_after_the_interval_is_written_at_once(
    at_intervals_of: Callable[[float], None], course: Course
) -> None:
    at_intervals_of(0)
    for done in range(3):
        course.reach(done)
    assert [course.written.get_nowait() for _ in range(3)] == [0, 1, 2]


def test_nothing_is_written_after_the_end(at_intervals_of: Callable[[float], None], course: Course) -> None:
    at_intervals_of(60)
    course.reach(1)
    course.reach(2)
    course.reports.close()
    assert course.next_written() == 1
    with pytest.raises(Empty):
        course.written.get_nowait()
    assert not [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
