"""The web process as it is started: `uvicorn app.main:app`."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0


def start(port: int, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port)]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free: int = server.getsockname()[1]
        return free


@pytest.fixture
def server(port: int, database: None) -> Iterator[subprocess.Popen[str]]:
    with start(port) as process:
        yield process
        process.kill()


def test_it_answers_and_ends_cleanly_when_told_to(server: subprocess.Popen[str], port: int) -> None:
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            assert httpx2.get(f"{address}/health/ready").status_code == 200
            break
        except httpx2.ConnectError:
            assert time.monotonic() < deadline
            assert server.poll() is None, server.communicate()[1]
            time.sleep(0.05)
    created = httpx2.post(f"{address}/api/v1/users", json={"email": "ada@example.org", "name": "Ada"})
    assert created.status_code == 201
    server.send_signal(signal.SIGTERM)
    _, log = server.communicate(timeout=PATIENCE)
    assert "Traceback" not in log
    assert server.returncode in (0, -signal.SIGTERM)  # uvicorn ends as the signal would have ended it


def test_settings_that_are_wrong_stop_the_start_in_one_line(port: int) -> None:
    with start(port, DATABASE_URL="", DATABASE_POOL_SIZE="many") as process:
        _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert len(told.splitlines()) == 1, told
    assert "DATABASE_URL: " in told
    assert "DATABASE_POOL_SIZE: " in told
