"""Webhooks as they come in."""

from typing import Annotated, Any

from pydantic import BaseModel, Field


class Webhook(BaseModel):
    type: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$", examples=["order.paid"])]
    data: Annotated[dict[str, Any], Field(examples=[{"reference": "2026-1007"}])]
