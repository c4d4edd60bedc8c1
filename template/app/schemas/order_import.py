"""A file of orders: what a row of it holds, and what became of the whole."""

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints
from typing_extensions import TypedDict  # of which Pydantic can make a schema on each Python

from app.schemas.users import Moment


def _cents(text: str) -> int:
    if not (text.isascii() and text.isdigit()):  # Pydantic would take 49.00 for 49
        raise ValueError("Input should be a whole number of cents, such as 4900")
    return int(text)


class OrderRow(TypedDict):
    """Its keys are the columns of the file."""

    reference: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
    ]
    email: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)]
    total_cents: Annotated[int, BeforeValidator(_cents), Field(lt=2**31)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    ordered_at: Annotated[Moment, BeforeValidator(datetime.fromisoformat)]


class BadRow(TypedDict):
    line: int
    """On which it begins; the first one of the file is 1."""
    message: str


class ImportResult(TypedDict):
    rows: int
    imported: int
    """Orders that are there and came with this file, in however many runs."""
    duplicates: int
    """Whose reference was there already, or stood further up in the file."""
    bad: int
    errors: list[BadRow]
    """The first hundred."""
    report: str | None
    """Where all bad rows can be read."""
