"""A Redis that answers, and takes no writes."""

import re
from collections.abc import Callable
from datetime import datetime

import pytest
from redis import Redis
from servers import wait_until
from workers.processes import Service, Worker

ERRORS = {"min-replicas-to-write": "BusyLoadingError", "maxmemory": "OutOfMemoryError"}
"""As which a worker knows the refusals of a Redis that has this setting."""


@pytest.mark.slow
@pytest.mark.parametrize("setting", ERRORS)
def test_tasks_wait_for_a_redis_that_takes_no_writes(new_service: Callable[[], Service], setting: str) -> None:
    service = new_service()
    with (
        Redis.from_url(service.settings["CELERY_BROKER_URL"]) as broker,
        service.queue() as queue,
        service.worker("-c", "2") as worker,
    ):
        results = [
            queue.send_task("proof.start_and_wait", kwargs={"key": f"{setting} {n}", "seconds": 0.2}) for n in range(40)
        ]
        wait_until(lambda: len(service.written()) > 6)
        broker.config_set(setting, 1)
        try:
            wait_until(lambda: seconds_of_refusals(worker, ERRORS[setting]) > 4, what=worker.log)
        finally:
            broker.config_set(setting, 0)
        wait_until(lambda: all(result.ready() for result in results), 40, worker.log)
        assert {result.state for result in results} == {"SUCCESS"}
        assert len(service.written()) == len(results)
        assert worker.stop() == 0


def seconds_of_refusals(worker: Worker, error: str) -> float:
    """From the first that it has told of to the last: it tries again and again, by one connection or another."""
    told = [datetime.fromisoformat(time) for time in re.findall(rf'{error}.*"timestamp": "(.+?)"', worker.log())]
    return (told[-1] - told[0]).total_seconds() if told else 0
