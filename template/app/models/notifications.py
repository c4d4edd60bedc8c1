"""Messages to many people, one row for each of them."""

from typing import Literal

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base

NotificationStatus = Literal["waiting", "sent", "failed"]


class Notification(Base):
    __tablename__ = "notifications"
    __table_args__ = (Index("ix_notifications_campaign_status", "campaign", "status"),)

    campaign: Mapped[str] = mapped_column(primary_key=True)
    """A name, or the id of the task that sends them."""
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    status: Mapped[NotificationStatus] = mapped_column(String, server_default="waiting")
    error: Mapped[str | None]
