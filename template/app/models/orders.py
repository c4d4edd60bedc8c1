"""What people have ordered."""

from datetime import datetime
from typing import Literal

from sqlalchemy import ForeignKey, String, func
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base

OrderStatus = Literal["open", "paid", "unpaid"]


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(unique=True)
    """By which the shop knows it."""
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    total_cents: Mapped[int]
    currency: Mapped[str]
    """ISO 4217, such as EUR."""
    status: Mapped[OrderStatus] = mapped_column(String, server_default="open")
    """unpaid: the payment was refused, or never came."""
    ordered_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    imported_from: Mapped[str | None]
    """The id of the file that brought it."""
