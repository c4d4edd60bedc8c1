"""The table of tasks that wait to be queued: written in a caller's transaction, emptied by task_outbox.py."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base


class OutboxEntry(Base):
    __tablename__ = "task_outbox"

    id: Mapped[str] = mapped_column(primary_key=True)
    """The task's."""
    name: Mapped[str]
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON)
    eta: Mapped[datetime | None]
    priority: Mapped[int | None]
    owner: Mapped[str | None]
    request_id: Mapped[str | None]
    created_at: Mapped[datetime]
    relay_at: Mapped[datetime] = mapped_column(index=True)
    """From when on the relay takes care of it."""
    error: Mapped[str | None]
    """Why it could not be queued, the last time."""
