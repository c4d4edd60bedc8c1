"""JSON that other programs can rely on: parsed, looked through, and taken as its schema says."""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jiter
from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema, to_json

NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, but for tab and line ends, and half characters: databases, terminals or UTF-8 refuse them."""


class Fault(NamedTuple):
    place: tuple[str | int, ...]
    message: str


def parse(body: bytes) -> Any:
    """ValueError for what Python's own parser lets through: NaN, repeated keys, half characters, UTF-16."""
    return jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)


def find_faults(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[Fault]:
    """What no schema refuses, and what cannot be stored or answered with, at any depth."""
    match value:
        case str() if NO_TEXT.search(value):
            yield Fault(place, "Text should not hold control characters or halves of characters")
        case float() if not math.isfinite(value):
            yield Fault(place, "Input should be a finite number")
        case dict():
            for key, item in value.items():
                yield from find_faults(key, place)
                yield from find_faults(item, (*place, str(key)))
        case list() | tuple() | set() | frozenset():
            for index, item in enumerate(value):
                yield from find_faults(item, (*place, index))


class StrictJson:
    """Beside a model, `Annotated[Order, StrictJson()]`: no conversions, so that "1" is no number and 0 no date."""

    def __get_pydantic_core_schema__(self, model: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(given: Any, validate: core_schema.ValidatorFunctionWrapHandler) -> Any:
            if not isinstance(given, dict):
                return validate(given)
            # JSON again: where Pydantic is strict about Python's objects, it refuses text in place of a date
            return model.model_validate_json(to_json(given), strict=True)

        return core_schema.no_info_wrap_validator_function(read, handler(model))
