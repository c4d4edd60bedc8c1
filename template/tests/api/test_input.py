"""What clients may send: everything else is a 4xx that names what is wrong, whatever the endpoint."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from app.core.config.app import get_app_settings
from app.main import app
from tests.api.test_openapi import OPERATIONS

USERS = "/api/v1/users"
ADA = {"email": "ada@example.org", "name": "Ada"}
LIMIT = get_app_settings().body_limit
WITH_BODY = [
    name
    for name, operation in OPERATIONS.items()
    if "application/json" in operation.get("requestBody", {"content": {}})["content"]
]


def problem(answer: httpx2.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-ID"]
    told: dict[str, Any] = answer.json()
    assert told["status"] == status
    return told


def fields(answer: httpx2.Response) -> list[str]:
    return [error["field"] for error in problem(answer, 422)["errors"]]


async def send(client: httpx2.AsyncClient, operation: str, body: bytes, media_type: str) -> httpx2.Response:
    method, path = operation.split(" ")
    path = re.sub(r"\{\w+\}", "1", path)
    return await client.request(method, path, content=body, headers={"Content-Type": media_type})


@pytest.mark.parametrize("operation", WITH_BODY)
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b"[" * 100_000,
        b'{"a": ' + b"1" * 5_000 + b"}",
        "{}".encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b'{"\\u0000": 1}',
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_what_is_no_strict_json_is_refused(client: httpx2.AsyncClient, operation: str, body: bytes) -> None:
    assert fields(await send(client, operation, body, "application/json")) == ["body"]


@pytest.mark.parametrize("operation", WITH_BODY)
@pytest.mark.parametrize("value", ['"a\\u0000"', '"\\u001b[2J"', "1e400"])
async def test_a_value_that_cannot_be_stored_is_refused_by_its_name(
    client: httpx2.AsyncClient, operation: str, value: str
) -> None:
    body = b'{"a": {"b": [%s]}}' % value.encode()
    assert fields(await send(client, operation, body, "application/json")) == ["body.a.b.0"]


@pytest.mark.parametrize("operation", WITH_BODY)
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "ÿ"])
async def test_a_body_of_another_media_type_is_a_415(
    client: httpx2.AsyncClient, operation: str, media_type: str
) -> None:
    method, path = operation.split(" ")
    header = [(b"Content-Type", media_type.encode("latin-1"))]
    answer = await client.request(method, re.sub(r"\{\w+\}", "1", path), content=b"{}", headers=header)
    assert "application/json" in problem(answer, 415)["detail"]


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON; charset=utf-8"])
async def test_the_media_type_of_json_is_taken_in_any_form(client: httpx2.AsyncClient, media_type: str) -> None:
    answer = await client.post(USERS, content=json.dumps(ADA), headers={"Content-Type": media_type})
    assert answer.status_code == 201


async def test_of_very_many_faults_some_are_told(client: httpx2.AsyncClient) -> None:
    answer = await client.post(USERS, json=ADA | {f"unknown {number}": 1 for number in range(20_000)})
    assert len(problem(answer, 422)["errors"]) == 20


@pytest.mark.parametrize("path", [USERS, "/nowhere", "/health/live"])
async def test_a_body_that_says_it_is_too_large_is_refused_unread(client: httpx2.AsyncClient, path: str) -> None:
    answer = await client.post(path, content=b"x" * (LIMIT + 1), headers={"Content-Type": "application/json"})
    assert str(LIMIT) in problem(answer, 413)["detail"]
    assert answer.headers["Connection"] == "close"


async def test_a_body_of_just_the_limit_is_read(client: httpx2.AsyncClient) -> None:
    body = json.dumps(ADA).encode().ljust(LIMIT)
    answer = await client.post(USERS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 201


async def test_a_body_that_does_not_say_how_large_it_is_is_read_up_to_the_limit(client: httpx2.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * LIMIT:
            sent += 65_536
            yield b" " * 65_536

    answer = await client.post(USERS, content=endless(), headers={"Content-Type": "application/json"})
    problem(answer, 413)
    assert answer.headers["Connection"] == "close"
    assert sent <= LIMIT + 65_536


async def test_a_client_that_leaves_in_mid_body_is_no_error_of_ours(client: httpx2.AsyncClient) -> None:
    received = iter([{"type": "http.request", "body": b'{"email": ', "more_body": True}, {"type": "http.disconnect"}])
    sent: list[Any] = []

    async def receive() -> Any:
        return next(received)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": USERS, "query_string": b"", "headers": []}
    await app(scope, receive, send)
    assert sent[0]["status"] == 400


@pytest.mark.parametrize(
    "user_id",
    ["%00", "%FF", "1%00", "1%0D%0AX:%20y", "%D9%A3", "0x1", "1e3", "-1", "0", "2147483648", "9" * 5_000, "{}"],
)
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_what_is_no_id_is_refused_by_its_name(client: httpx2.AsyncClient, method: str, user_id: str) -> None:
    answer = await client.request(method, f"{USERS}/{user_id}", json={} if method == "PATCH" else None)
    assert fields(answer) == ["path.user_id"]


@pytest.mark.parametrize("value", ["", "%00", "%FF", "NaN", "1e3", "true", "2147483648", "9" * 5_000, "-1"])
@pytest.mark.parametrize("parameter", ["after", "limit"])
async def test_what_is_no_number_is_refused_by_the_name_of_its_parameter(
    client: httpx2.AsyncClient, parameter: str, value: str
) -> None:
    assert fields(await client.get(f"{USERS}?{parameter}={value}")) == [f"query.{parameter}"]


@pytest.mark.parametrize("query", ["limit=1&limit=2", "%00=%00", "%FF", "&&&===", "x" * 10_000])
async def test_parameters_that_nobody_asked_for_do_no_harm(client: httpx2.AsyncClient, query: str) -> None:
    assert (await client.get(f"{USERS}?{query}")).status_code == 200


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "TRACE", "PROPFIND", "GARBAGE"])
@pytest.mark.parametrize(
    ("path", "allowed"), [(USERS, "GET, POST"), (f"{USERS}/1", "GET, PATCH, DELETE"), ("/health/live", "GET")]
)
async def test_an_answer_to_another_method_names_all_that_are_allowed(
    client: httpx2.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("request_id", ["0198C7A46F0E4B6E9F2E6A1D5B7C9E10", "0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10"])
async def test_a_request_id_is_taken_in_both_of_its_forms(client: httpx2.AsyncClient, request_id: str) -> None:
    answer = await client.get("/health/live", headers={"X-Request-ID": request_id})
    assert answer.headers["X-Request-ID"] == request_id


@pytest.mark.parametrize(
    "request_id",
    [
        b"1",
        b"\xff",
        b"0198c7a4\tevent=paid",
        b"{0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10}",
        b"urn:uuid:0198c7a4-6f0e-4b6e-9f2e-6a1d5b7c9e10",
        b"----0198c7a46f0e4b6e9f2e6a1d5b7c9e10----",
        b"+198c7a46f0e4b6e9f2e6a1d5b7c9e10",
        b"1_98c7a46f0e4b6e9f2e6a1d5b7c9e10",
        b"0" * 5_000,
    ],
)
async def test_what_is_no_request_id_is_replaced(client: httpx2.AsyncClient, request_id: bytes) -> None:
    answer = await client.get("/health/live", headers=[(b"X-Request-ID", request_id)])
    assert answer.status_code == 200
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])
