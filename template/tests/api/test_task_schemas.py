"""Each exposed task in the OpenAPI document: its own arguments, its own result, and where to go from there."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from app.api.task_schemas import answer_to_reading
from app.core.celery import celery_app
from app.tasks import exposed_tasks
from tests.api.test_openapi import DOCUMENT, OPERATIONS

SCHEMAS = DOCUMENT["components"]["schemas"]
QUEUEING = {task.name: OPERATIONS[f"POST /api/v1/tasks/{task.name}"] for task in exposed_tasks()}


def content(answer: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = answer["content"]["application/json"]["schema"]
    return schema


@pytest.mark.parametrize("name", QUEUEING)
def test_a_task_is_queued_by_arguments_and_read_with_a_result_of_its_own(name: str) -> None:
    title = "".join(word.capitalize() for word in name.replace(".", "_").split("_"))
    body = content(QUEUEING[name]["requestBody"])
    read = content(OPERATIONS["GET /api/v1/tasks/{task_id}"]["responses"]["200"])
    assert f"#/components/schemas/{title}Arguments" in str(body)
    assert {"$ref": f"#/components/schemas/{title}Task"} in read["anyOf"]
    assert SCHEMAS[f"{title}Task"]["properties"]["name"]["const"] == name
    assert SCHEMAS[f"{title}Task"]["description"] == SCHEMAS[f"{title}Queued"]["description"]


@pytest.mark.parametrize(
    ("task", "result"),
    [
        ("UsersUpdateStats", {"$ref": "#/components/schemas/DayFigures"}),
        ("ReportsActivity", {"type": "object", "additionalProperties": {"type": "integer"}}),
        ("SystemCheck", {"type": "array", "items": {"type": "string"}}),
    ],
)
def test_a_result_is_of_the_type_that_the_task_says_it_returns(task: str, result: dict[str, Any]) -> None:
    assert SCHEMAS[f"{task}Task"]["properties"]["result"]["anyOf"] == [result, {"type": "null"}]


@pytest.mark.parametrize("name", QUEUEING)
def test_links_lead_from_queueing_a_task_to_operations_that_take_its_id(name: str) -> None:
    answer = QUEUEING[name]["responses"]["202"]
    by_id = {one["operationId"]: path for path, one in OPERATIONS.items()}
    assert "Location" in answer["headers"]
    for link in answer["links"].values():
        assert "{task_id}" in by_id[link["operationId"]]
        assert link["parameters"] == {"task_id": "$response.body#/task_id"}


class Opaque:
    """What Pydantic makes no schema of."""


@pytest.fixture(params=["nothing", "unsaid", "opaque"])
def odd(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of an exposed task whose result has no schema to speak of."""

    def nothing() -> None: ...
    def unsaid(): ...  # type: ignore[no-untyped-def]  # what is tested
    def opaque() -> Opaque: ...  # type: ignore[empty-body]  # never called

    function = {"nothing": nothing, "unsaid": unsaid, "opaque": opaque}[request.param]
    task = celery_app.task(name=f"odd.{request.param}", exposed=True)(function)
    yield request.param
    celery_app.tasks.unregister(task.name)


def test_a_task_without_a_type_of_result_is_documented_too(odd: str) -> None:
    schema = TypeAdapter(answer_to_reading()["model"]).json_schema(mode="serialization")
    result = schema["$defs"][f"Odd{odd.capitalize()}Task"]["properties"]["result"]
    anything: dict[str, Any] = {"anyOf": [{}, {"type": "null"}]}
    expected: dict[str, dict[str, Any]] = {"nothing": {"type": "null"}, "unsaid": anything, "opaque": {}}
    assert result == {"title": "Result"} | expected[odd]
