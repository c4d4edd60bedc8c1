"""Webhooks that we were sent, so that none is taken twice."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base


class WebhookEvent(Base):
    __tablename__ = "webhook_events"

    id: Mapped[str] = mapped_column(primary_key=True)
    """Its sender's."""
    type: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    received_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    handled_at: Mapped[datetime | None]
