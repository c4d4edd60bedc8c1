"""What becomes of the tasks when parts of a stack are killed, started again and replaced under load."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx2
import pytest
from servers import wait_until
from stack.compose import Stack, stack

WORKERS = 2
PAUSE = 0.1
"""Seconds between two tasks of the load, ..."""
SECONDS_OF_A_TASK = 0.3
"""... which two workers of two processes can bear."""
PATIENCE = 90.0


@dataclass
class Outcome:
    fault: str
    sent: int
    done: int
    lost: int
    twice: int
    seconds: float
    """From the end of the load until the last task was done."""


@pytest.fixture(scope="module")
def running(production: Path, api_key: str) -> Iterator[Stack]:
    with stack(production, api_key=api_key) as running:
        running.up("--build", "--scale", f"worker={WORKERS}")
        running.sql("CREATE TABLE proof (key text, event text, host text)")
        yield running
    assert running.left_behind() == []


@pytest.fixture(scope="module")
def outcomes() -> Iterator[list[Outcome]]:
    outcomes: list[Outcome] = []
    yield outcomes
    print("\n| fault | sent | done | lost | twice | seconds to the last |\n|---|---|---|---|---|---|")
    for one in outcomes:
        print(f"| {one.fault} | {one.sent} | {one.done} | {one.lost} | {one.twice} | {one.seconds:.1f} |")


class Load:
    """Queues a task every PAUSE seconds until it is left; counts those that the API took."""

    numbers = itertools.count()

    def __init__(self, running: Stack) -> None:
        self._running = running
        self.prefix = f"load-{next(self.numbers)}"
        self.sent: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: len(self.sent) > 20)
        return self

    def __exit__(self, *_: object) -> None:
        now = len(self.sent)
        wait_until(lambda: len(self.sent) > now + 20, 60)  # the API takes tasks again
        self._ended.set()
        self._thread.join()

    def _send(self) -> None:
        api = self._running.api
        with httpx2.Client(base_url=api.base_url, headers=api.headers, timeout=5) as client:
            for number in itertools.count():
                if self._ended.wait(PAUSE):
                    return
                key = f"{self.prefix}-{number}"
                arguments = {"key": key, "seconds": SECONDS_OF_A_TASK}
                try:
                    answer = client.post("/api/v1/tasks/proof.work", json=arguments)
                except httpx2.TransportError:
                    continue  # nothing was promised
                if answer.status_code == 202:
                    self.sent.append(key)

    def outcome(self, fault: str) -> Outcome:
        return wait_for_all(self._running, self.sent, fault)


def wait_for_all(running: Stack, sent: list[str], fault: str) -> Outcome:
    """What became of the tasks with these keys, as soon as all are done or PATIENCE is at its end."""
    start = time.monotonic()
    wait_until(lambda: set(sent) <= set(done_tasks(running)) or time.monotonic() > start + PATIENCE, 2 * PATIENCE)
    seconds = time.monotonic() - start
    ours = [key for key in done_tasks(running) if key in set(sent)]
    return Outcome(fault, len(sent), len(set(ours)), len(set(sent) - set(ours)), len(ours) - len(set(ours)), seconds)


def done_tasks(running: Stack) -> list[str]:
    """Their keys, each as often as it was done."""
    return running.sql("SELECT key FROM proof WHERE event = 'done'")


def kill_a_worker(running: Stack) -> None:
    """Docker does not start again what was killed by hand; Compose does."""
    running.containers("worker")[0].kill()
    running.up("--no-recreate", "--scale", f"worker={WORKERS}")


def kill_redis(running: Stack) -> None:
    running.containers("redis")[0].kill()
    running.compose("start", "redis")


def replace_the_image(running: Stack) -> None:
    code = running.folder / "app" / "tasks" / "system.py"
    code.write_text(f"{code.read_text()}\n# version {time.time()}\n")
    images = {one.image.id for one in running.containers("worker")}
    running.up("--build", "--scale", f"worker={WORKERS}")
    assert not images & {one.image.id for one in running.containers("worker")}


FAULTS: dict[str, Callable[[Stack], object]] = {
    "docker kill of a worker": kill_a_worker,
    "docker compose restart redis": lambda running: running.compose("restart", "redis"),
    "docker compose restart postgres": lambda running: running.compose("restart", "postgres"),
    "docker kill of redis": kill_redis,
    "docker compose up --build of new code": replace_the_image,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_task_is_lost(running: Stack, outcomes: list[Outcome], fault: str) -> None:
    with Load(running) as load:
        FAULTS[fault](running)
    outcomes.append(outcome := load.outcome(fault))
    assert (outcome.lost, outcome.done) == (0, outcome.sent), outcome
    running.wait_until_healthy()


def test_a_task_whose_worker_is_killed_ends_elsewhere_once(running: Stack, outcomes: list[Outcome]) -> None:
    task_id = running.queue("proof.work", key="killed", seconds=5)
    wait_until(lambda: running.sql("SELECT 1 FROM proof WHERE key = 'killed'") != [])
    (host,) = running.sql("SELECT host FROM proof WHERE key = 'killed'")
    (worker,) = (one for one in running.containers("worker") if one.attrs["Config"]["Hostname"] == host)
    worker.kill()
    outcomes.append(outcome := wait_for_all(running, ["killed"], "docker kill of a worker in mid-task"))
    assert (outcome.done, outcome.twice) == (1, 0)
    assert running.wait_for(task_id, "SUCCESS")["result"] != host
    running.up("--no-recreate", "--scale", f"worker={WORKERS}")


def test_a_stopped_worker_hands_back_what_does_not_end_in_time(running: Stack) -> None:
    brief = running.queue("proof.work", key="brief", seconds=5)
    long = running.queue("proof.work", key="long", seconds=45)
    wait_until(lambda: len(running.sql("SELECT 1 FROM proof WHERE key IN ('brief', 'long')")) == 2)
    running.compose("stop", "worker")
    assert {one.attrs["State"]["ExitCode"] for one in running.containers("worker")} == {0}
    assert running.task(brief)["status"] == "SUCCESS"
    assert "long" not in done_tasks(running)
    running.up("--no-recreate", "--scale", f"worker={WORKERS}")
    running.wait_for(long, "SUCCESS", PATIENCE)
    assert sorted(key for key in done_tasks(running) if key in ("brief", "long")) == ["brief", "long"]


def test_what_is_queued_is_still_there_after_a_full_stop(running: Stack, outcomes: list[Outcome]) -> None:
    running.compose("stop", "worker")
    keys = [f"full-stop-{number}" for number in range(50)]
    for key in keys:
        running.queue("proof.work", key=key)
    running.compose("stop")
    running.up("--no-recreate", "--scale", f"worker={WORKERS}")
    outcomes.append(outcome := wait_for_all(running, keys, "full stop and start"))
    assert (outcome.lost, outcome.twice) == (0, 0)


def test_a_second_beat_sends_nothing_twice(running: Stack) -> None:
    def heartbeats() -> list[str]:
        return [line for line in running.compose("logs", "--no-color", "worker").splitlines() if beat_ran(line)]

    def beat_ran(line: str) -> bool:
        return '"task started"' in line and '"system.heartbeat"' in line

    running.up("--no-recreate", "--scale", "beat=2", "--scale", f"worker={WORKERS}")
    assert running.ailing() == {}
    before, start = len(heartbeats()), time.monotonic()
    wait_until(lambda: len(heartbeats()) >= before + 3, 120)
    # every 30 seconds one: the third comes no earlier than 60 seconds after the first
    assert time.monotonic() - start > 55
