"""The task API: who may use it, and what a caller may ask for."""

import hmac
import re
from functools import cache
from hashlib import sha256
from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic_settings import SettingsConfigDict

from app.core.config.base import ServiceSettings, load

ADMIN = "admin"
"""The owner whose keys see the tasks of all."""


def _check_keys(keys: str) -> str:
    for entry in filter(None, keys.split(",")):
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}:[0-9a-f]{64}", entry):
            raise ValueError("holds what `make api-key owner=NAME` has not written; it is owner:sha256,owner:sha256")
    return keys


class TaskApiSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="TASK_API_")

    keys: Annotated[str, Field(repr=False), AfterValidator(_check_keys)] = ""
    """owner:sha256 of a key, with commas between; an owner may have several."""
    unfinished_limit: PositiveInt = 1_000
    """Tasks that an owner may have queued and not finished."""
    longest_delay: NonNegativeInt = 86_400
    """Seconds by which a caller may put off a task's start."""
    highest_priority: Annotated[int, Field(ge=0, le=9)] = 9
    longest_wait: PositiveFloat = 60
    """Seconds for which a request may wait for the end of a task."""
    streams: PositiveInt = 5_000
    """Of events, that one process of the API keeps open."""

    def owner_of(self, key: str) -> str | None:
        """None for a key that is unknown. Takes as long for any: a hash is compared with each that there is."""
        digest = sha256(key.encode()).hexdigest()
        owner = None
        for entry in filter(None, self.keys.split(",")):
            name, _, known = entry.partition(":")
            if hmac.compare_digest(digest, known):
                owner = name
        return owner


@cache
def get_task_api_settings() -> TaskApiSettings:
    return load(TaskApiSettings)
