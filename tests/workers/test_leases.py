"""Workers are killed, stopped and cut off: what they held comes back within seconds, and what they run they keep."""

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery, chord
from redis import Redis
from servers import RedisServer, end, wait_until
from workers.processes import Service, outcome

LEASES = "unacked_index"
LEASE_SECONDS = 10.0
QUEUE = "default"
LIST = f"{QUEUE}\x06\x163"
"""Where kombu puts its messages of priority 3."""


@pytest.fixture
def service(new_service: Callable[[], Service]) -> Service:
    return new_service()


@pytest.fixture
def queue(service: Service) -> Iterator[Celery[Any]]:
    with service.queue() as queue:
        yield queue


@pytest.fixture
def broker(service: Service) -> Iterator[Any]:
    with Redis.from_url(service.settings["CELERY_BROKER_URL"], decode_responses=True) as broker:
        yield broker


@pytest.fixture
def send(queue: Celery[Any]) -> Callable[..., Any]:
    """Queue a task that notes its start and then takes so many seconds."""

    def send(key: str, seconds: float = 0, **options: Any) -> Any:
        return queue.send_task("proof.start_and_wait", kwargs={"key": key, "seconds": seconds}, priority=3, **options)

    return send


@pytest.fixture
def starts(service: Service) -> Callable[[], list[str]]:
    """The key of each task that was started, once for each start."""
    return lambda: sorted(service.starts().elements())


def wait_until_renewed_beyond_its_first_end(broker: Any, delivery: str, lapses: float, log: Callable[[], str]) -> None:
    """By then it would have lapsed, and another worker would have the message, by another name."""
    wait_until(lambda: (broker.zscore(LEASES, delivery) or 0) > lapses + LEASE_SECONDS, 1.5 * LEASE_SECONDS, log)


def is_done_with(broker: Any) -> bool:
    """Nothing waits, and nothing is held."""
    return not broker.exists("unacked", LEASES, QUEUE, LIST)


# killed


def test_the_tasks_of_a_killed_worker_are_started_elsewhere_within_15_seconds(
    service: Service, send: Callable[..., Any], starts: Callable[[], list[str]], broker: Any
) -> None:
    with service.worker("-c", "2") as killed, service.worker("-c", "2", "-n", "other@%h") as other:
        results = {key: send(key, seconds=4) for key in "abcd"}
        wait_until(lambda: starts() == ["a", "b", "c", "d"])
        lost = [key for key in "abcd" if results[key].id in killed.log()]

        killed.kill()

        wait_until(lambda: starts() == sorted([*"abcd", *lost]), 15, other.log)
        assert {outcome(result) for result in results.values()} == {"SUCCESS"}
        wait_until(lambda: is_done_with(broker))
    assert len(lost) == 2
    assert starts() == sorted([*"abcd", *lost])


@pytest.mark.slow
def test_a_task_that_kills_its_process_each_time_is_given_up(
    service: Service, queue: Celery[Any], send: Callable[..., Any], broker: Any
) -> None:
    with service.worker("-c", "1"):
        killer = queue.send_task("proof.kill_process", priority=3)
        behind = [send(key) for key in "abc"]

        assert outcome(killer) == "FAILURE"
        assert type(killer.result).__name__ == "WorkerKillerError"
        assert broker.zscore("tasks:failed", killer.id)
        assert [outcome(result) for result in behind] == ["SUCCESS"] * 3
        wait_until(lambda: is_done_with(broker))


@pytest.mark.slow
def test_a_chord_whose_worker_is_killed_is_completed(
    service: Service, queue: Celery[Any], starts: Callable[[], list[str]]
) -> None:
    def part(key: str) -> Any:
        return queue.signature("proof.start_and_wait", kwargs={"key": key, "seconds": 2}, priority=3)

    with service.worker("-c", "1") as killed, service.worker("-c", "1", "-n", "other@%h") as other:
        result = chord([part(key) for key in "abcd"], app=queue)(queue.signature("proof.count", priority=3))
        wait_until(lambda: len(starts()) == 2)
        killed.kill()
        assert result.get(timeout=40) == 4, other.log()
    assert len(starts()) == 5


# stopped, cut off, or only slow


@pytest.mark.slow
def test_a_task_that_takes_longer_than_its_lease_runs_once(
    service: Service, send: Callable[..., Any], starts: Callable[[], list[str]], broker: Any
) -> None:
    with service.worker("-c", "1"), service.worker("-c", "1", "-n", "other@%h"):
        assert outcome(send("a", seconds=2.5 * LEASE_SECONDS), 40) == "SUCCESS"
        wait_until(lambda: is_done_with(broker))
    assert starts() == ["a"]


@pytest.mark.slow
def test_a_task_runs_once_while_its_main_process_is_stopped(
    service: Service, send: Callable[..., Any], starts: Callable[[], list[str]], broker: Any
) -> None:
    with service.worker("-c", "1") as stopped:
        result = send("a", seconds=1.3 * LEASE_SECONDS)
        wait_until(starts)
        ((delivery, lapses),) = broker.zrange(LEASES, 0, -1, withscores=True)
        stopped.process.send_signal(signal.SIGSTOP)
        try:
            with service.worker("-c", "1", "-n", "other@%h") as other:
                wait_until_renewed_beyond_its_first_end(broker, delivery, lapses, other.log)
                assert "task started" not in other.log() or other.events("task had ended already")
        finally:
            stopped.process.send_signal(signal.SIGCONT)
        assert outcome(result) == "SUCCESS"
        wait_until(lambda: is_done_with(broker), what=stopped.log)
    assert starts() == ["a"]


@pytest.mark.slow
def test_a_worker_whose_connections_are_cut_keeps_what_it_runs_and_goes_on(
    service: Service, send: Callable[..., Any], starts: Callable[[], list[str]], broker: Any
) -> None:
    with service.worker("-c", "2") as worker:
        running = send("running", seconds=6)
        wait_until(starts)

        broker.client_kill_filter(_type="normal", skipme=True)

        assert outcome(send("next")) == "SUCCESS"
        assert running.state == "STARTED"
        assert broker.hlen("unacked") == 1
        assert outcome(running) == "SUCCESS"
        wait_until(lambda: is_done_with(broker), what=worker.log)
        assert outcome(send("last")) == "SUCCESS"
        assert "given back" not in worker.log()
    assert starts() == ["last", "next", "running"]


@pytest.mark.slow
def test_a_pause_of_redis_under_load_runs_nothing_twice(
    service: Service,
    send: Callable[..., Any],
    starts: Callable[[], list[str]],
    broker: Any,
    redis_server: RedisServer,
) -> None:
    with service.worker("-c", "2") as one, service.worker("-c", "2", "-n", "other@%h") as other:
        keys = [f"task {number:02}" for number in range(30)]
        results = [send(key, seconds=number % 4) for number, key in enumerate(keys)]
        wait_until(lambda: len(starts()) > 4)
        redis_server.freeze()
        try:
            time.sleep(1.5 * LEASE_SECONDS)
        finally:
            redis_server.thaw()
        assert {outcome(result, 60) for result in results} == {"SUCCESS"}
        wait_until(lambda: is_done_with(broker), 30, lambda: one.log() + other.log())
    assert starts() == keys


# waiting for their time


@pytest.mark.slow
def test_a_countdown_longer_than_the_lease_runs_once(
    service: Service, send: Callable[..., Any], starts: Callable[[], list[str]], broker: Any
) -> None:
    with service.worker("-c", "1"), service.worker("-c", "1", "-n", "other@%h") as other:
        result = send("a", countdown=1.5 * LEASE_SECONDS)
        wait_until(lambda: broker.hlen("unacked"))
        ((delivery, lapses),) = broker.zrange(LEASES, 0, -1, withscores=True)
        wait_until_renewed_beyond_its_first_end(broker, delivery, lapses, other.log)
        assert starts() == []
        assert outcome(result) == "SUCCESS"
        wait_until(lambda: is_done_with(broker))
    assert starts() == ["a"]


@pytest.mark.slow
def test_a_countdown_survives_the_worker_that_waits_for_it(
    service: Service, send: Callable[..., Any], starts: Callable[[], list[str]], broker: Any
) -> None:
    with service.worker("-c", "1") as killed:
        result = send("a", countdown=25)
        wait_until(lambda: broker.hlen("unacked"))
        killed.kill()
        ((_, lapses),) = broker.zrange(LEASES, 0, -1, withscores=True)
    with service.worker("-c", "1") as other:
        wait_until(lambda: broker.zcount(LEASES, f"({lapses}", "+inf"), 15, other.log)
        assert starts() == []
        assert outcome(result, 40) == "SUCCESS"
        wait_until(lambda: is_done_with(broker))
    assert starts() == ["a"]


@pytest.mark.slow
def test_a_countdown_runs_once_where_its_worker_was_stopped_for_long(
    service: Service, send: Callable[..., Any], starts: Callable[[], list[str]], broker: Any
) -> None:
    with service.worker("-c", "1") as stopped:
        result = send("a", seconds=2, countdown=25)
        wait_until(lambda: broker.hlen("unacked"))
        stopped.process.send_signal(signal.SIGSTOP)
        try:
            with service.worker("-c", "1", "-n", "other@%h") as other:
                wait_until(lambda: "given back" in other.log(), 15, other.log)
                wait_until(lambda: broker.hlen("unacked"))
                stopped.process.send_signal(signal.SIGCONT)
                assert outcome(result, 40) == "SUCCESS"
                wait_until(lambda: is_done_with(broker), what=stopped.log)
        finally:
            stopped.process.send_signal(signal.SIGCONT)
    assert starts() == ["a"]


# deleted


@pytest.mark.slow
def test_a_waiting_message_that_was_deleted_comes_back(service: Service, broker: Any) -> None:
    with service.api() as api, service.worker("-c", "1") as worker:
        tasks = f"{api.url}/api/v1/tasks/proof.start_and_wait"
        running, waiting = (
            api.client.post(tasks, json={"key": key, "seconds": 3}).json()["task_id"] for key in ("running", "waiting")
        )
        wait_until(lambda: api.status(running) != "PENDING" and broker.llen(LIST) == 1)

        broker.delete(LIST)

        wait_until(lambda: api.status(waiting) == "SUCCESS", 15, worker.log)
        wait_until(lambda: is_done_with(broker))
    assert [row.split(",")[0] for row in service.written()] == ["running", "waiting"]


# asked to end


@pytest.mark.slow
def test_a_worker_that_is_asked_to_end_hands_back_what_waits_for_its_time(
    service: Service, send: Callable[..., Any], starts: Callable[[], list[str]], broker: Any
) -> None:
    with service.worker("-c", "1") as worker:
        send("later", countdown=60)
        wait_until(lambda: broker.hlen("unacked") == 1)
        running = send("running", seconds=3)
        wait_until(starts)

        assert worker.stop() == 0

    assert running.state == "SUCCESS"
    assert starts() == ["running"]
    assert not broker.exists("unacked", LEASES)
    assert broker.llen(LIST) == 1


@pytest.mark.slow
def test_a_task_that_is_handed_back_before_its_start_has_no_start(
    service: Service, send: Callable[..., Any], broker: Any
) -> None:
    with service.worker("-c", "1") as worker:
        later = send("later", countdown=60)
        wait_until(lambda: broker.hlen("unacked") == 1)
        assert worker.stop() == 0
    assert broker.hget(f"task:{later.id}", "starts:0") in (None, "0")


def test_a_worker_that_has_to_end_soon_hands_back_what_runs(
    service: Service, send: Callable[..., Any], starts: Callable[[], list[str]], broker: Any
) -> None:
    with service.set(CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT="1").worker("-c", "1") as worker:
        result = send("a", seconds=60)
        wait_until(starts)
        end(worker.process, signal.SIGQUIT, 10)
    assert not broker.exists("unacked", LEASES)
    assert broker.llen(LIST) == 1
    with service.worker("-c", "1") as other:
        wait_until(lambda: len(starts()) == 2, 5)
        other.kill()
    assert broker.hget(f"task:{result.id}", "starts:0") == "1"  # no worker was lost before


@pytest.mark.slow
def test_nothing_is_lost_where_processes_are_replaced_under_load(
    service: Service, send: Callable[..., Any], starts: Callable[[], list[str]], broker: Any
) -> None:
    keys = [f"task {number:02}" for number in range(24)]
    with service.set(CELERY_WORKER_MAX_TASKS_PER_CHILD="2").worker("-c", "2") as worker:
        results = [send(key) for key in keys]
        assert {outcome(result) for result in results} == {"SUCCESS"}
        wait_until(lambda: is_done_with(broker))
        assert worker.stop() == 0
    assert starts() == keys
