"""The arguments of tasks: what is taken, converted and refused."""

from datetime import date
from typing import Annotated, Any

import pytest
from pydantic import Field

from app.core.task_arguments import ArgumentsError, TaskArguments


def order(*, item: str, count: Annotated[int, Field(ge=1)] = 1, day: date | None = None) -> None: ...


ARGUMENTS = TaskArguments("orders.place_order", order)


def test_defaults_are_filled_in() -> None:
    assert ARGUMENTS.bind((), {"item": "tea"}) == {"item": "tea", "count": 1, "day": None}


def test_what_json_cannot_say_is_converted() -> None:
    assert ARGUMENTS.bind((), {"item": "tea", "day": "2026-05-04"})["day"] == date(2026, 5, 4)


def test_positional_arguments_are_named() -> None:
    def add(first: int, second: int) -> None: ...

    assert TaskArguments("add", add).bind((1,), {"second": 2}) == {"first": 1, "second": 2}


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({}, "item"),
        ({"item": 7}, "item"),
        ({"item": "tea", "count": 0}, "count"),
        ({"item": "tea", "count": "many"}, "count"),
        ({"item": "tea", "day": "someday"}, "day"),
        ({"item": "tea", "colour": "green"}, "colour"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(kwargs: dict[str, Any], named: str) -> None:
    with pytest.raises(ArgumentsError, match=named):
        ARGUMENTS.bind((), kwargs)


def test_each_fault_is_named() -> None:
    with pytest.raises(ArgumentsError, match=r"^item: .*; count: .*"):
        ARGUMENTS.bind((), {"item": None, "count": 0})


@pytest.mark.parametrize("text", ["tea\x00", "\x1b[2J", "\ud800"])
def test_text_that_cannot_be_stored_is_refused_by_name(text: str) -> None:
    with pytest.raises(ArgumentsError, match=r"^item: .*control characters"):
        ARGUMENTS.bind((), {"item": text})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), "NaN", "-Infinity"])
def test_a_number_that_is_not_finite_is_refused_by_name(number: object) -> None:
    def weigh(*, weight: float, anything: Any = None) -> None: ...

    with pytest.raises(ArgumentsError, match=r"^weight: .*finite"):
        TaskArguments("orders.weigh", weigh).bind((), {"weight": number})
    with pytest.raises(ArgumentsError, match=r"^anything.0.tax: .*finite"):
        TaskArguments("orders.weigh", weigh).bind((), {"weight": 1, "anything": [{"tax": float("nan")}]})


def test_too_many_positional_arguments_are_refused() -> None:
    with pytest.raises(ArgumentsError, match="positional"):
        ARGUMENTS.bind(("tea",), {})


def test_the_model_describes_the_arguments() -> None:
    schema = ARGUMENTS.model.model_json_schema()
    assert schema["title"] == "OrdersPlaceOrderArguments"
    assert schema["required"] == ["item"]
    assert schema["properties"]["count"]["minimum"] == 1
    assert schema["additionalProperties"] is False


def test_the_model_has_an_example_of_examples_and_defaults() -> None:
    def report(
        *, day: Annotated[date, Field(examples=["2026-05-04"])], days: int = 7, name: str | None = None
    ) -> None: ...

    schema = TaskArguments("report", report).model.model_json_schema()
    assert schema["examples"] == [{"day": "2026-05-04", "days": 7}]


def test_or_none_where_one_that_has_to_be_given_has_no_example() -> None:
    def report(*, day: date, days: int = 7) -> None: ...

    assert "examples" not in TaskArguments("report", report).model.model_json_schema()


def test_a_task_has_to_name_its_arguments() -> None:
    def star(*items: str) -> None: ...
    def stars(**options: str) -> None: ...
    def positional(item: str, /) -> None: ...

    for function in (star, stars, positional):
        with pytest.raises(TypeError, match="name each argument"):
            TaskArguments("orders.place_order", function)


def test_arguments_without_annotations_are_taken_as_they_are() -> None:
    def anything(value) -> None: ...  # type: ignore[no-untyped-def]  # what is tested

    assert TaskArguments("anything", anything).bind((), {"value": [1]}) == {"value": [1]}
