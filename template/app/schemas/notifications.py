"""What became of a message to many people."""

from typing_extensions import TypedDict  # of which Pydantic can make a schema on each Python


class Failure(TypedDict):
    user_id: int
    error: str


class Summary(TypedDict):
    sent: int
    failed: int
    failures: list[Failure]
    """The first of them."""
