"""Payments of orders, each tried until it is known how it ended."""

from datetime import datetime
from typing import Literal

from sqlalchemy import ForeignKey, String, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base

PaymentStatus = Literal["pending", "paid", "declined", "failed"]


class Payment(Base):
    __tablename__ = "payments"

    id: Mapped[str] = mapped_column(primary_key=True)
    """The idempotency key: the provider charges once for it, however often it is asked."""
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), unique=True)
    status: Mapped[PaymentStatus] = mapped_column(String, server_default="pending")
    """declined: by the provider; failed: the provider could not be asked."""
    provider_id: Mapped[str | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
