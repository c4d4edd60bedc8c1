"""A Redis that answers, and takes no writes."""

from collections.abc import Callable

import pytest
from redis import Redis
from servers import wait_until
from workers.processes import Service

REFUSING = {"min-replicas-to-write": (1, 0), "maxmemory": (1, 0)}
NO_LOOK = "no look for messages that were left behind"
"""The worker says so every two seconds, with tasks in its hands that have started and cannot tell their end."""


@pytest.mark.slow
@pytest.mark.parametrize("setting", REFUSING)
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
        refuse, take = REFUSING[setting]
        broker.config_set(setting, refuse)
        try:
            wait_until(lambda: len(worker.events(NO_LOOK)) >= 2, what=worker.log)
        finally:
            broker.config_set(setting, take)
        wait_until(lambda: all(result.ready() for result in results), 40, worker.log)
        assert {result.state for result in results} == {"SUCCESS"}
        assert len(service.written()) == len(results)
        assert worker.stop() == 0
