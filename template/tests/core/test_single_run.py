"""One run at a time: who gets the lock, who loses it, and when."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.lock import Lock

from app.core import single_run as module
from app.core.resources import UnavailableError
from app.core.single_run import AlreadyRunningError, single_run
from tests.fixtures.worker import ROOT

pytestmark = pytest.mark.usefixtures("redis_server")

KEY = "single-run:test.count:"
HOLDER = """
import sys, time
from types import SimpleNamespace
from app.core import single_run
single_run.LEASE_SECONDS, single_run.RENEW_SECONDS = 1.0, 0.2
with single_run.single_run(SimpleNamespace(name="test.count", request=SimpleNamespace(id=sys.argv[1]))):
    print("has it", flush=True)
    time.sleep(60)
"""


def task(task_id: str | None = None, name: str = "test.count") -> Any:
    return SimpleNamespace(name=name, request=SimpleNamespace(id=task_id))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.1)


@pytest.fixture
def holder() -> Iterator[subprocess.Popen[str]]:
    """Another process, which has the lock for as long as it lives."""
    command = [sys.executable, "-c", HOLDER, "first"]
    with subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        with closing(process.stdout):
            assert process.stdout.readline() == "has it\n"
            yield process
            process.kill()


def first_success(attempt: Callable[[], bool]) -> float:
    """Seconds until then."""
    begin = time.monotonic()
    while not attempt():
        assert time.monotonic() - begin < 10
        time.sleep(0.02)  # nothing tells when a lock lapses
    return time.monotonic() - begin


def gets_in(of: Any) -> bool:
    try:
        with single_run(of):
            return True
    except AlreadyRunningError:
        return False


def test_a_second_run_is_kept_out_until_the_first_has_ended() -> None:
    with single_run(task("first")):
        assert not gets_in(task("second"))
    assert gets_in(task("second"))


def test_another_task_and_another_subject_are_let_in() -> None:
    with single_run(task(), "may"), single_run(task(), "june"), single_run(task(name="test.other"), "may"):
        assert gets_in(task())


def test_a_block_that_raises_gives_the_lock_back(results: Redis) -> None:
    with pytest.raises(ZeroDivisionError), single_run(task()):
        _ = 1 / 0
    assert not results.exists(KEY)


@pytest.mark.usefixtures("quick")
def test_a_run_keeps_the_lock_for_longer_than_a_lease() -> None:
    with single_run(task()) as lost:
        assert not lost.wait(1.5)
        assert not gets_in(task())


@pytest.mark.usefixtures("real_redis")
def test_the_lock_of_a_process_that_was_killed_is_free_after_its_lease(holder: subprocess.Popen[str]) -> None:
    assert not gets_in(task("second"))
    holder.kill()
    holder.wait()
    assert 0.2 < first_success(lambda: gets_in(task("second"))) < 3


@pytest.mark.usefixtures("real_redis")
def test_a_task_that_is_started_again_need_not_wait_for_its_own_lock(
    holder: subprocess.Popen[str], results: Redis
) -> None:
    holder.kill()
    holder.wait()
    assert results.exists(KEY)
    assert gets_in(task("first"))


@pytest.mark.usefixtures("quick")
def test_a_run_is_told_when_its_lock_was_taken_and_leaves_it_to_the_new_holder(results: Redis) -> None:
    with single_run(task()) as lost:
        results.set(KEY, "another")
        assert lost.wait(5)
    assert results.get(KEY) == "another"


@pytest.mark.usefixtures("quick")
def test_a_run_is_told_when_redis_was_away_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_lock: Lock) -> None:
        raise RedisConnectionError("no route")

    with single_run(task()) as lost:
        monkeypatch.setattr(Lock, "reacquire", fail)
        assert not lost.wait(0.5)
        assert lost.wait(5)


def test_without_redis_nobody_is_let_in(monkeypatch: pytest.MonkeyPatch, refusing_url: str) -> None:
    with Redis.from_url(refusing_url, decode_responses=True) as away:
        monkeypatch.setattr(module, "results_client", lambda: away)
        with pytest.raises(UnavailableError, match="Redis, which holds the locks"):
            gets_in(task())
