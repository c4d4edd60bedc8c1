"""Figures about the users."""

from pydantic import AwareDatetime, BaseModel


class Statistics(BaseModel):
    users: int
    active_today: int
    active_this_week: int
    counted_at: AwareDatetime
