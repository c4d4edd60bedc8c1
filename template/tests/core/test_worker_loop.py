"""The event loop of a worker process."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import pytest

import app.core.worker_loop
from app.core.database import database as database_resource
from app.core.worker_loop import WorkerLoop, run_apart


class LimitReached(Exception):  # noqa: N818 (named as Celery names its own)
    """What a signal raises in the main thread."""


@pytest.fixture
def loop() -> Iterator[WorkerLoop]:
    loop = WorkerLoop()
    yield loop
    loop.close()


@pytest.fixture
def alarm() -> Iterator[Callable[[], object]]:
    """Called by a coroutine on the loop: makes the main thread, which waits for it, raise LimitReached soon."""

    def reach_limit(*_: object) -> None:
        raise LimitReached

    def set_alarm() -> object:
        main = threading.main_thread().ident or 0
        return asyncio.get_running_loop().call_later(0.05, lambda: signal.pthread_kill(main, signal.SIGALRM))

    before = signal.signal(signal.SIGALRM, reach_limit)
    yield set_alarm
    signal.signal(signal.SIGALRM, before)


async def answer(value: int) -> int:
    await asyncio.sleep(0)
    return value


async def current_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_it_answers_and_raises_what_the_coroutine_does(loop: WorkerLoop) -> None:
    async def fail() -> None:
        raise ValueError("no")

    assert loop.run(answer(7)) == 7
    with pytest.raises(ValueError, match="no"):
        loop.run(fail())
    assert loop.run(answer(8)) == 8


def test_all_coroutines_share_one_loop_that_is_not_in_the_calling_thread(loop: WorkerLoop) -> None:
    async def thread() -> threading.Thread:
        return threading.current_thread()

    assert loop.run(current_loop()) is loop.run(current_loop())
    assert loop.run(thread()) is not threading.current_thread()


def test_resources_are_open_on_it(loop: WorkerLoop) -> None:
    async def is_open() -> bool:
        return database_resource.is_open()

    assert loop.run(is_open())


def test_many_threads_may_use_it_at_once(loop: WorkerLoop) -> None:
    meeting = asyncio.Barrier(4)

    async def meet() -> int:
        async with asyncio.timeout(5):
            return await meeting.wait()

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(lambda _: loop.run(meet()), range(4))) == [0, 1, 2, 3]


def test_what_a_signal_raises_goes_on_after_the_coroutine_has_cleaned_up(
    loop: WorkerLoop, alarm: Callable[[], object]
) -> None:
    course: list[str] = []

    async def work() -> None:
        alarm()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            course.append("cancelled")
            await asyncio.sleep(0.05)
            course.append("cleaned up")
            raise

    with pytest.raises(LimitReached):
        loop.run(work())
    assert course == ["cancelled", "cleaned up"]
    assert loop.run(answer(7)) == 7


def test_a_coroutine_that_does_not_end_holds_nobody_up(
    loop: WorkerLoop,
    alarm: Callable[[], object],
    monkeypatch: pytest.MonkeyPatch,
    log: Callable[[], list[dict[str, Any]]],
) -> None:
    monkeypatch.setattr(app.core.worker_loop, "CLEAN_UP_SECONDS", 0.1)
    let_go = threading.Event()

    async def work() -> None:
        alarm()
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                continue

    started = time.monotonic()
    with pytest.raises(LimitReached):
        loop.run(work())
    assert time.monotonic() - started < 2
    assert "a cancelled task did not end its clean-up in time" in [event["event"] for event in log()]
    let_go.set()


def test_it_cannot_be_waited_for_on_itself(loop: WorkerLoop) -> None:
    async def work() -> int:
        return loop.run(answer(7))

    with pytest.raises(RuntimeError, match="the worker's event loop already"):
        loop.run(work())


def test_closing_cancels_what_runs_and_the_next_run_starts_anew(loop: WorkerLoop) -> None:
    running = threading.Event()

    async def work() -> None:
        running.set()
        await asyncio.Event().wait()

    first = loop.run(current_loop())
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(loop.run, work())
        assert running.wait(5)
        loop.close()
        with pytest.raises(CancelledError):
            waiting.result(5)
    assert first.is_closed()
    assert loop.run(current_loop()) is not first


def test_closing_ends_its_thread(loop: WorkerLoop) -> None:
    async def thread() -> threading.Thread:
        return threading.current_thread()

    own = loop.run(thread())
    loop.close()
    loop.close()
    assert not own.is_alive()


def test_a_plain_function_runs_here_unless_a_loop_does() -> None:
    async def from_a_loop() -> threading.Thread:
        return run_apart(threading.current_thread)

    assert run_apart(threading.current_thread) is threading.current_thread()
    assert asyncio.run(from_a_loop()) is not threading.current_thread()
