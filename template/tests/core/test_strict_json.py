"""JSON as other programs can rely on it."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.core.strict_json import StrictJson, find_faults, parse


def test_json_is_parsed() -> None:
    assert parse(b'{"name": "Ada \\ud83d\\ude00", "numbers": [1, 2.5, -3e2, true, null]}') == {
        "name": "Ada 😀",
        "numbers": [1, 2.5, -300, True, None],
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{} {}",
        b"NaN",
        b"-Infinity",
        b'{"a": 1, "a": 2}',
        b'{"b": [{"a": 1, "a": 2}]}',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'{"\\udc00": 1}',
        b'"\x00"',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_other_programs_may_read_otherwise_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse(body)


@pytest.mark.parametrize(
    ("value", "places"),
    [
        ({"name": "Ada\nLovelace\tGräfin 😀"}, []),
        ({"name": "A\x00da"}, [("name",)]),
        ({"name": "A\x1bda", "e-mail": "\x85"}, [("name",), ("e-mail",)]),
        ({"names": ["Ada", {"first": "\ud800"}]}, [("names", 1, "first")]),
        ({"a\x00": 1}, [()]),
        ({"count": float("inf"), "share": [float("nan")]}, [("count",), ("share", 0)]),
        ({"tags": ("\x7f",), "kinds": {"\x00"}}, [("tags", 0), ("kinds", 0)]),
    ],
)
def test_what_cannot_be_stored_is_found_at_its_place(value: Any, places: list[tuple[str | int, ...]]) -> None:
    assert [fault.place for fault in find_faults(value)] == places


class Order(BaseModel):
    id: UUID
    day: date
    count: int = 1
    price: Decimal = Decimal(1)
    paid: bool = False


STRICT: TypeAdapter[Order] = TypeAdapter(Annotated[Order, StrictJson()])
GIVEN = {"id": "0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10", "day": "2026-05-04"}


def test_what_json_has_as_text_is_converted() -> None:
    order = STRICT.validate_python(GIVEN | {"price": "1.50"})
    assert (order.id, order.day, order.price) == (UUID(GIVEN["id"]), date(2026, 5, 4), Decimal("1.50"))


def test_it_stays_known_what_was_given() -> None:
    assert STRICT.validate_python(GIVEN).model_fields_set == {"id", "day"}


@pytest.mark.parametrize(
    ("field", "value"), [("count", "1"), ("count", True), ("count", 1.5), ("day", 0), ("paid", 1), ("paid", "yes")]
)
def test_what_its_schema_calls_another_type_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as raised:
        STRICT.validate_python(GIVEN | {field: value})
    assert [fault["loc"] for fault in raised.value.errors()] == [(field,)]


@pytest.mark.parametrize("value", [None, [], "text", 7])
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        STRICT.validate_python(value)


def test_the_schema_is_the_models_own() -> None:
    assert STRICT.json_schema() == Order.model_json_schema()
