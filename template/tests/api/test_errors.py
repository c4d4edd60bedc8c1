"""What clients get when something is wrong, whatever the endpoint."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from fastapi.responses import StreamingResponse
from sqlalchemy.exc import OperationalError

from app.core.resources import UnavailableError
from app.main import create_app


@pytest.fixture
async def failing() -> AsyncIterator[Callable[[Exception], httpx2.AsyncClient]]:
    """A client of a service whose `/failing` raises that error."""
    app = create_app()
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:

        def fail_with(error: Exception) -> httpx2.AsyncClient:
            async def fail() -> None:
                raise error

            app.add_api_route("/failing", fail)
            return client

        yield fail_with


def problem(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert told["type"] == "about:blank"
    assert told["status"] == answer.status_code
    assert told["title"]
    assert told["detail"]
    return told


async def test_an_unknown_path_is_a_problem(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/nowhere")
    assert answer.status_code == 404
    assert problem(answer)["title"] == "Not Found"


async def test_a_method_that_is_not_allowed_is_a_problem_that_says_which_are(client: httpx2.AsyncClient) -> None:
    answer = await client.put("/health/live")
    assert answer.status_code == 405
    assert problem(answer)["title"] == "Method Not Allowed"
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"", b'"text"', b"null"])
async def test_a_body_that_is_no_json_object_is_a_problem_of_the_body(client: httpx2.AsyncClient, body: bytes) -> None:
    answer = await client.post("/api/v1/users", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert [error["field"] for error in problem(answer)["errors"]] == ["body"]


async def test_a_refused_value_is_not_sent_back(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/v1/users", json={"email": "not-an-address", "name": "Ada"})
    assert problem(answer)["errors"][0]["field"] == "body.email"
    assert "not-an-address" not in answer.text


async def test_an_unexpected_error_tells_clients_nothing_and_the_log_all(
    failing: Callable[[Exception], httpx2.AsyncClient],
) -> None:
    answer = await failing(ValueError("the secret of the house")).get("/failing")
    assert answer.status_code == 500
    assert problem(answer)["title"] == "Internal Server Error"
    assert "secret of the house" not in answer.text
    assert "Traceback" not in answer.text


async def test_an_unexpected_error_is_answered_under_its_request_id(
    failing: Callable[[Exception], httpx2.AsyncClient],
) -> None:
    request_id = "0198c7a46f0e4b6e9f2e6a1d5b7c9e10"
    answer = await failing(ValueError("no")).get("/failing", headers={"X-Request-ID": request_id})
    assert answer.headers["X-Request-ID"] == request_id


async def test_an_unexpected_error_of_a_middleware_is_answered_like_that_of_an_endpoint() -> None:
    app = create_app()

    async def fail(*_: object) -> None:
        raise ValueError("the secret of the house")

    app.add_middleware(lambda _app: fail)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/health/live")
    assert answer.status_code == 500
    assert problem(answer)["title"] == "Internal Server Error"
    assert "secret of the house" not in answer.text


async def test_an_error_in_mid_stream_adds_nothing_to_the_stream() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b"first"
        raise ValueError("the secret of the house")

    app = create_app()
    app.add_api_route("/stream", lambda: StreamingResponse(stream()))
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/stream")
    assert (answer.status_code, answer.text) == (200, "first")


@pytest.mark.parametrize(
    "error", [OperationalError("SELECT", {}, OSError("refused")), ConnectionRefusedError("db:5432"), TimeoutError()]
)
async def test_a_database_that_is_away_is_a_503_that_names_no_address(
    failing: Callable[[Exception], httpx2.AsyncClient], error: Exception
) -> None:
    answer = await failing(error).get("/failing")
    assert answer.status_code == 503
    assert "database" in problem(answer)["detail"]
    assert "SELECT" not in answer.text
    assert "5432" not in answer.text
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_part_that_is_away_is_a_503_in_its_own_words(
    failing: Callable[[Exception], httpx2.AsyncClient],
) -> None:
    answer = await failing(UnavailableError("The tea kitchen is closed.")).get("/failing")
    assert answer.status_code == 503
    assert problem(answer)["detail"] == "The tea kitchen is closed."
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_request_id_comes_back_and_is_in_the_log(
    client: httpx2.AsyncClient, log: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = "0198c7a46f0e4b6e9f2e6a1d5b7c9e10"
    monkeypatch.setattr("app.core.database.database.check", refuse)
    answer = await client.get("/health/ready", headers={"X-Request-ID": request_id})
    assert answer.headers["X-Request-ID"] == request_id
    assert [event["request_id"] for event in log() if event["event"] == "not ready"] == [request_id]


async def test_a_request_without_an_id_gets_one(client: httpx2.AsyncClient) -> None:
    first, second = [await client.get("/health/live") for _ in range(2)]
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


async def refuse() -> None:
    raise ConnectionRefusedError
