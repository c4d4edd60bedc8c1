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


BAD_TEXT = "Text should not hold control characters or halves of characters"


class Fault(NamedTuple):
    place: tuple[str | int, ...]
    message: str


def parse(body: bytes) -> Any:
    """ValueError for what Python's own parser lets through: NaN, repeated keys, half characters, UTF-16."""
    return jiter.from_json(body, allow_inf_nan=False, catch_duplicate_keys=True)


def find_faults(value: Any) -> Iterator[Fault]:
    """What no schema refuses, and what cannot be stored or answered with, at any depth."""
    # a body may hold half a million containers: they are gone through without recursion, and without a path for each
    containers: list[Any] = [[value]]
    parents: list[int] = [0]
    keys: list[Any] = [0]
    for position, container in enumerate(containers):  # which grows meanwhile
        for key, item in container.items() if isinstance(container, dict) else enumerate(container):
            if isinstance(key, str) and NO_TEXT.search(key):
                yield Fault(_place(parents, keys, parents[position], keys[position]), BAD_TEXT)
            if isinstance(item, str):
                if NO_TEXT.search(item):
                    yield Fault(_place(parents, keys, position, key), BAD_TEXT)
            elif isinstance(item, float):
                if not math.isfinite(item):
                    yield Fault(_place(parents, keys, position, key), "Input should be a finite number")
            elif isinstance(item, (dict, list, tuple, set, frozenset)):
                containers.append(item)
                parents.append(position)
                keys.append(key)


def _place(parents: list[int], keys: list[Any], parent: int, key: Any) -> tuple[str | int, ...]:
    steps = [key]
    while parent:
        steps.append(keys[parent])
        parent = parents[parent]
    return tuple(step if isinstance(step, int) else str(step) for step in reversed(steps[:-1]))


class StrictJson:
    """Beside a model, `Annotated[Order, StrictJson()]`: no conversions, so that "1" is no number and 0 no date."""

    def __get_pydantic_core_schema__(self, model: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(given: Any, validate: core_schema.ValidatorFunctionWrapHandler) -> Any:
            if not isinstance(given, dict):
                return validate(given)
            # JSON again: where Pydantic is strict about Python's objects, it refuses text in place of a date
            return model.model_validate_json(to_json(given), strict=True)

        return core_schema.no_info_wrap_validator_function(read, handler(model))
