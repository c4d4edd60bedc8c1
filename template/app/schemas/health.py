"""How the service is."""

from typing import Literal

from pydantic import BaseModel


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Each part that the service depends on: `ok`, or what is wrong with it."""

    status: Literal["ready", "not ready"]
    parts: dict[str, str]
