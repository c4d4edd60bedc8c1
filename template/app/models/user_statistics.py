"""How many users there were, day by day."""

from datetime import date

from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base


class UserStatistics(Base):
    __tablename__ = "user_statistics"

    day: Mapped[date] = mapped_column(primary_key=True)
    users: Mapped[int]
    active: Mapped[int]
    """Users with activity on that day."""
