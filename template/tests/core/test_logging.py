"""How the service logs."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog
from asgi_correlation_id import correlation_id

from app.core.logging import configure_logging


@pytest.fixture
def log_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], io.StringIO]]:
    """Configures the log as in that environment; returns what it will be written to in place of standard error."""

    def configure(app_env: str) -> io.StringIO:
        with monkeypatch.context() as patch:
            patch.setenv("APP_ENV", app_env)
            patch.setattr(sys, "stderr", io.StringIO())
            configure_logging()
            return sys.stderr  # type: ignore[return-value]  # set two lines above

    yield configure
    configure_logging()


@pytest.fixture
def request_id() -> Iterator[str]:
    token = correlation_id.set("0198c7a4")
    yield "0198c7a4"
    correlation_id.reset(token)


def test_production_logs_one_json_object_a_line_with_the_request_id(
    log_in: Callable[[str], io.StringIO], request_id: str
) -> None:
    log = log_in("production")
    structlog.stdlib.get_logger("ours").info("made\nby us", user=7)
    logging.getLogger("theirs").warning("made by %s", "others", extra={"place": "library"})
    ours, theirs = (json.loads(line) for line in log.getvalue().splitlines())
    assert ours["event"] == "made\nby us"
    assert ours["user"] == 7
    assert (ours["logger"], ours["level"], ours["request_id"]) == ("ours", "info", request_id)
    assert theirs["event"] == "made by others"
    assert (theirs["logger"], theirs["level"], theirs["request_id"]) == ("theirs", "warning", request_id)
    assert theirs["place"] == "library"


def test_production_logs_an_exception_inside_its_line(log_in: Callable[[str], io.StringIO]) -> None:
    log = log_in("production")
    try:
        raise ValueError("no")
    except ValueError:
        structlog.stdlib.get_logger().exception("failed")
    (line,) = log.getvalue().splitlines()
    assert "ValueError: no" in json.loads(line)["exception"]


def test_development_logs_for_people(log_in: Callable[[str], io.StringIO], request_id: str) -> None:
    log = log_in("development")
    structlog.stdlib.get_logger().info("hello", user=7)
    (line,) = log.getvalue().splitlines()
    assert not line.startswith("{")
    assert "hello" in line
    assert "user=7" in line
    assert request_id in line


def test_a_line_outside_a_request_has_no_request_id(log_in: Callable[[str], io.StringIO]) -> None:
    log = log_in("test")
    structlog.stdlib.get_logger().info("hello")
    assert "request_id" not in json.loads(log.getvalue())


def test_the_web_server_logs_in_the_same_form(log_in: Callable[[str], io.StringIO]) -> None:
    logging.getLogger("uvicorn.access").addHandler(logging.StreamHandler(theirs := io.StringIO()))
    log = log_in("test")
    logging.getLogger("uvicorn.access").info("GET /")
    (line,) = log.getvalue().splitlines()
    assert json.loads(line)["event"] == "GET /"
    assert theirs.getvalue() == ""
