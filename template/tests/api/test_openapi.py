"""The OpenAPI document: what clients are generated from."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi.openapi.models import OpenAPI

from app.main import app

DOCUMENT: dict[str, Any] = app.openapi()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


def test_the_document_is_openapi() -> None:
    OpenAPI.model_validate(DOCUMENT)


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_its_pages_need_no_other_host(client: httpx2.AsyncClient, page: str) -> None:
    loaded = re.findall(r'(?:src|href)="([^"]+)"', (await client.get(page)).text)
    assert loaded
    for address in loaded:
        assert (await client.get(address)).status_code == 200, address


def test_each_reference_leads_somewhere() -> None:
    schemas = {f"#/components/schemas/{name}" for name in DOCUMENT.get("components", {}).get("schemas", {})}
    assert set(references(DOCUMENT)) <= schemas


def test_no_two_operations_share_an_id() -> None:
    assert not [name for name, times in Counter(one["operationId"] for one in OPERATIONS.values()).items() if times > 1]


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if " /api/" in name])
def test_an_operation_documents_its_problems(operation: str) -> None:
    documented = OPERATIONS[operation]
    errors = {status: answer for status, answer in documented["responses"].items() if status >= "400"}
    assert "503" in errors
    assert ("422" in errors) >= ("requestBody" in documented)
    for status, answer in errors.items():
        assert list(answer["content"]) == ["application/problem+json"], status


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_says_what_it_does_under_a_plain_name(operation: str) -> None:
    documented = OPERATIONS[operation]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", documented["operationId"])
    assert documented["summary"]
    assert documented["description"]


def test_problems_are_of_one_schema() -> None:
    answers = [answer for one in OPERATIONS.values() for answer in one["responses"].values() if "content" in answer]
    schemas = [answer["content"].get("application/problem+json", {"schema": None})["schema"] for answer in answers]
    assert {"$ref": "#/components/schemas/Problem"} in schemas
    assert all(schema in (None, {"$ref": "#/components/schemas/Problem"}) for schema in schemas)
    assert "HTTPValidationError" not in DOCUMENT["components"]["schemas"]


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)
