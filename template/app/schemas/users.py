"""Users, as they come in and go out."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, EmailStr, Field, StringConstraints

Email = Annotated[EmailStr, Field(examples=["ada@example.org"])]
Name = Annotated[
    str,
    Field(examples=["Ada Lovelace"]),
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$"),
]


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("Input should be a moment of the years 1 to 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class UserCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: Email
    name: Name


class UserUpdate(BaseModel):
    """Only what is given is changed."""

    model_config = ConfigDict(extra="forbid")

    email: Email = Field(default="")
    name: Name = Field(default="")
    last_activity: Moment | None = None


class UserOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    email: str
    name: str
    created_at: AwareDatetime
    last_activity: AwareDatetime | None


class UserPage(BaseModel):
    items: list[UserOut]
    next_after: int | None
    """`after` of the next page, or nothing on the last one."""
