"""A secret that another service knows too."""

from typing import Annotated

from pydantic import AfterValidator, Field

from app.core.config.base import refuse_weak_password


def _refuse_weak(secret: str) -> str:
    refuse_weak_password(secret)
    return secret


SharedSecret = Annotated[str, Field(repr=False, min_length=1), AfterValidator(_refuse_weak)]
"""Kept out of logs, and refused in production while it is a placeholder or short enough to be guessed."""
