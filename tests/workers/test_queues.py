"""What comes out of the queues: the urgent first, junk to nobody's harm."""

import json
from collections.abc import Callable

import pytest
from redis import Redis
from servers import wait_until
from workers.processes import Service, outcome

JUNK = {
    "text": b"no JSON",
    "bytes": b"\xff\xfe\x00",
    "list": b"[]",
    "null": b"null",
    "empty": b"",
    "object": b'{"no": "message"}',
    "half a message": b'{"properties": {"delivery_info": {}}, "headers": {}}',
}


@pytest.fixture
def own_service(new_service: Callable[[], Service]) -> Service:
    return new_service()


def test_a_task_of_high_priority_overtakes_those_that_wait(own_service: Service) -> None:
    service = own_service
    with service.queue() as queue, service.worker("-c", "1"):
        busy = queue.send_task("proof.hold", kwargs={"key": "busy", "seconds": 2})
        wait_until(service.transactions)
        waiting = [
            queue.send_task("proof.use_session", kwargs={"key": key}, queue=key.split()[0])
            for key in ("low_priority 1", "low_priority 2", "default", "high_priority 1", "high_priority 2")
        ]
        for result in [busy, *waiting]:
            result.get(timeout=30)

    overtaking = ["high_priority 1", "high_priority 2"]
    assert service.written() == ["busy", *overtaking, "default", "low_priority 1", "low_priority 2"]


def test_junk_in_a_queue_is_logged_and_dropped(own_service: Service) -> None:
    service = own_service
    with (
        Redis.from_url(service.settings["CELERY_BROKER_URL"]) as broker,
        service.queue() as queue,
        service.worker("-c", "1") as worker,
    ):
        for junk in JUNK.values():
            broker.lpush("default", junk)
        queue.send_task("no.such_task", task_id="unknown task")
        queue.send_task("proof.use_session", kwargs={"key": "pickled"}, task_id="pickled", serializer="pickle")
        queue.send_task("proof.use_session", args=["positional"], task_id="positional")
        result = queue.send_task("proof.use_session", kwargs={"key": "good"})

        assert outcome(result) == "SUCCESS"
        assert service.written() == ["good"]
        wait_until(lambda: not broker.hlen("unacked"))
        assert broker.llen("default") == 0
        assert worker.process.poll() is None
        dropped = [json.loads(line) for line in worker.log().splitlines() if "dropped what is no" in line]
        assert len(dropped) == len(JUNK)
        for sign in ("no.such_task", "ContentDisallowed", "positional"):
            assert sign in worker.log()
