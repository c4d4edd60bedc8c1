"""What is in the outbox, and what has come from it into the queues."""

import json

from redis import Redis
from sqlalchemy import select

from app.core.database import open_session
from app.core.task_outbox_entry import OutboxEntry


def queued(broker: Redis, name: str = "default*") -> list[str]:
    """The ids of the tasks in that queue, the first of them first."""
    lists = sorted(broker.scan_iter(name))
    messages = [json.loads(text) for key in lists for text in reversed(broker.lrange(key, 0, -1))]
    return [message["headers"]["id"] for message in messages]


async def entries() -> list[OutboxEntry]:
    async with open_session() as session:
        return list((await session.scalars(select(OutboxEntry).order_by(OutboxEntry.created_at))).all())
