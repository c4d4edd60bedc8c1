"""Links that were sent by e-mail, as they come back."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class EmailTokenIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,200}$", description="What stands behind the # in the link.")]


class EmailTokenOut(BaseModel):
    """Whose link it was, and what it was for."""

    model_config = ConfigDict(from_attributes=True)

    user_id: int
    purpose: Literal["verification", "password reset"]
