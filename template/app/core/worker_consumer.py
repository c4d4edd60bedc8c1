"""The part of a worker that receives messages, which is soon back when its broker is."""

from functools import partial
from typing import Any

from celery.worker import consumer

CeleryConsumer: Any = consumer.Consumer  # its stubs lack most of it


class Consumer(CeleryConsumer):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # workers need not tell one another what they know, a second at each start and much talk: what all of them have
        # to know is in the records of tasks
        super().__init__(*args, **kwargs, without_gossip=True, without_mingle=True)

    def ensure_connected(self, conn: Any) -> Any:
        """Try every second, where Celery makes its pauses longer and longer."""
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=1, interval_step=0, interval_max=1)
        return super().ensure_connected(conn)
