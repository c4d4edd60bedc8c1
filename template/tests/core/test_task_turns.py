"""One run of a task at a time, where the broker is not Redis."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from celery.exceptions import Reject
from redis import Redis

from app.core import task_turns
from app.core.config.celery import get_celery_settings
from app.core.task_keys import turn_key
from app.core.task_turns import TURN_SECONDS, take_turn
from app.core.worker_redis import results_client

TASK_ID = "0198c7a4"
KEY = turn_key(TASK_ID)


@pytest.fixture(autouse=True)
def rabbitmq(monkeypatch: pytest.MonkeyPatch, results: Redis) -> None:
    settings = get_celery_settings().model_copy(update={"broker_url": "amqp://127.0.0.1"})
    monkeypatch.setattr(task_turns, "get_celery_settings", lambda: settings)
    monkeypatch.setattr(task_turns, "records_client", results_client)
    monkeypatch.setattr("app.core.task_record.records_client", results_client)


@pytest.fixture
def start() -> Iterator[Callable[[], SimpleNamespace]]:
    """A run of the task, which ends with the test at the latest."""
    runs: list[SimpleNamespace] = []

    def start() -> SimpleNamespace:
        runs.append(SimpleNamespace())
        take_turn(runs[-1], TASK_ID)
        return runs[-1]

    yield start
    for run in runs:
        end(run)


def end(run: SimpleNamespace) -> None:
    task_turns._end_turn(SimpleNamespace(request=run))  # type: ignore[arg-type]


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], object]]]:
    """What happens in each of the pauses that follow, one after the other."""
    happens: list[Callable[[], object]] = []
    monkeypatch.setattr("app.core.task_turns.time.sleep", lambda _: happens.pop(0)() if happens else None)
    yield happens
    assert not happens


def test_a_run_has_its_turn_until_it_ends(start: Callable[[], SimpleNamespace], results: Redis) -> None:
    run = start()
    assert 0 < results.ttl(KEY) <= TURN_SECONDS
    end(run)
    assert not results.exists(KEY)


def test_another_one_waits_for_its_end(
    start: Callable[[], SimpleNamespace], results: Redis, pauses: list[Callable[[], object]]
) -> None:
    first = start()
    pauses += [lambda: None, lambda: end(first)]
    second = start()
    assert results.get(KEY) == second.turn.split(" ")[1]


def test_or_until_nobody_renews_its_turn(
    start: Callable[[], SimpleNamespace], results: Redis, pauses: list[Callable[[], object]]
) -> None:
    first = start()
    pauses.append(lambda: results.delete(KEY))
    second = start()
    end(first)  # which has lost it
    assert results.get(KEY) == second.turn.split(" ")[1]


@pytest.mark.usefixtures("pauses")
def test_after_a_while_the_message_is_given_back(start: Callable[[], SimpleNamespace]) -> None:
    start()
    with pytest.raises(Reject) as rejected:
        start()
    assert vars(rejected.value)["requeue"]


def test_a_turn_is_renewed_while_it_is_ones_own(start: Callable[[], SimpleNamespace], results: Redis) -> None:
    run = start()
    results.expire(KEY, 1)
    task_turns._renew([run.turn])
    assert results.ttl(KEY) > 1
    results.set(KEY, "another", ex=1)
    task_turns._renew([run.turn])
    assert results.ttl(KEY) <= 1


def test_whose_answer_was_lost_may_ask_again(
    start: Callable[[], SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.task_turns.uuid.uuid4", lambda: "same")
    assert start().turn == start().turn


def test_with_redis_as_broker_there_are_none(results: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_turns, "get_celery_settings", get_celery_settings)
    take_turn(SimpleNamespace(), TASK_ID)
    assert not results.exists(KEY)
