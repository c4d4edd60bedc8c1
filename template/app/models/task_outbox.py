"""Tasks that wait to be queued. Part of the queue, below the models; here it is made known to Base."""

from app.core.task_outbox_entry import OutboxEntry

__all__ = ["OutboxEntry"]
