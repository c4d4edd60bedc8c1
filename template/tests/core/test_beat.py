"""Beat: one at work, each run queued once, last runs kept in Redis."""

import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from app.core.beat import LOCK_SECONDS, Scheduler
from app.core.celery import celery_app
from app.core.task_keys import BEAT_LOCK, BEATS, FIRST_SEEN, LAST_RUNS

QUEUE = "high_priority"


@pytest.fixture
def scheduler(broker: Redis, results: Redis) -> Iterator[Any]:
    scheduler: Any = Scheduler(celery_app)
    yield scheduler
    scheduler.close()


@pytest.fixture
def other(broker: Redis, results: Redis) -> Iterator[Any]:
    other: Any = Scheduler(celery_app)
    yield other
    other.close()


def ran(results: Redis, ago: timedelta) -> datetime:
    """The heartbeat's last run was so long ago."""
    at = datetime.now(UTC) - ago
    results.hset(LAST_RUNS, "heartbeat", at.isoformat())
    return at


def queued(broker: Redis) -> list[str]:
    return [json.loads(message)["headers"]["id"] for message in broker.lrange(QUEUE, 0, -1)]


def test_an_entry_that_is_due_is_queued_and_noted(scheduler: Any, broker: Redis, results: Redis) -> None:
    last = ran(results, timedelta(minutes=5))
    scheduler.tick()
    assert len(queued(broker)) == 1
    assert datetime.fromisoformat(str(results.hget(LAST_RUNS, "heartbeat"))) > last


def test_an_entry_that_is_not_due_is_not_queued(scheduler: Any, broker: Redis, results: Redis) -> None:
    ran(results, timedelta(seconds=5))
    scheduler.tick()
    assert queued(broker) == []


def test_the_schedule_goes_on_where_an_earlier_beat_ended(scheduler: Any, broker: Redis, results: Redis) -> None:
    last = ran(results, timedelta(seconds=20))
    scheduler.tick()
    assert scheduler.schedule["heartbeat"].last_run_at == last


def test_an_entry_that_never_ran_counts_from_the_time_it_was_first_seen(
    scheduler: Any, broker: Redis, results: Redis
) -> None:
    results.hset(FIRST_SEEN, "heartbeat", (datetime.now(UTC) - timedelta(seconds=31)).isoformat())
    scheduler.tick()
    assert len(queued(broker)) == 1
    assert results.hget(FIRST_SEEN, "clean up unused accounts")


def test_a_second_beat_stands_by(scheduler: Any, other: Any, broker: Redis, results: Redis) -> None:
    ran(results, timedelta(minutes=5))
    scheduler.tick()
    assert other.tick() > 0
    assert len(queued(broker)) == 1


def test_another_beat_takes_over_when_the_one_at_work_is_gone(
    scheduler: Any, other: Any, broker: Redis, results: Redis
) -> None:
    scheduler.tick()
    other.tick()
    assert 0 < results.pttl(BEAT_LOCK) <= 1000 * LOCK_SECONDS
    results.delete(BEAT_LOCK)  # its time is over
    ran(results, timedelta(minutes=5))
    other.tick()
    assert len(queued(broker)) == 1


def test_another_beat_takes_over_at_once_from_one_that_ends(scheduler: Any, other: Any, results: Redis) -> None:
    scheduler.tick()
    scheduler.close()
    other.tick()
    assert results.get(BEAT_LOCK)


def test_a_beat_whose_place_was_taken_stands_by(scheduler: Any, other: Any, broker: Redis, results: Redis) -> None:
    scheduler.tick()
    results.delete(BEAT_LOCK)
    other.tick()
    ran(results, timedelta(minutes=5))
    scheduler.schedule["heartbeat"].last_run_at -= timedelta(minutes=5)
    scheduler.tick()
    assert queued(broker) == []


def test_a_run_is_queued_once_whoever_queues_it(scheduler: Any, other: Any, broker: Redis, results: Redis) -> None:
    last = ran(results, timedelta(minutes=5))
    for beat in (scheduler, other):
        beat.schedule["heartbeat"].last_run_at = last
        beat.apply_async(beat.schedule["heartbeat"])
    assert len(queued(broker)) == 1


def test_each_beat_is_seen(scheduler: Any, results: Redis) -> None:
    scheduler.tick()
    assert results.zscore(BEATS, socket.gethostname())
    scheduler.close()
    assert not results.zscore(BEATS, socket.gethostname())


def test_beat_waits_while_redis_is_away(scheduler: Any, broker: Redis, results: Redis, refusing_url: str) -> None:
    scheduler._redis = Redis.from_url(refusing_url)
    assert scheduler.tick() > 0
    assert queued(broker) == []
