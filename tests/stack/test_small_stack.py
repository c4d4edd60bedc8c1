"""The API alone, on SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from stack.compose import DEVELOPMENT, HEALTHY_WITHIN, PRODUCTION, Stack, stack


@pytest.fixture(scope="module", params=[DEVELOPMENT, PRODUCTION], ids=["development", "production"])
def running(request: pytest.FixtureRequest, sqlite_service: Path) -> Iterator[Stack]:
    with stack(sqlite_service, request.param) as running:
        running.compose("build", "--quiet")
        assert running.up() < HEALTHY_WITHIN
        yield running
    assert running.left_behind() == []


def test_all_is_healthy_at_the_first_try(running: Stack) -> None:
    containers = running.by_service()
    assert set(containers) == {"settings", "migrate", "api"}
    assert running.ailing() == {}
    assert [one.attrs["RestartCount"] for one in containers.values()] == [0, 0, 0]


def test_what_it_is_told_outlives_its_containers(running: Stack) -> None:
    user = {"email": "ada@example.org", "name": "Ada"}
    created = running.api.post("/api/v1/users", json=user)
    assert created.status_code == 201, created.text
    running.compose("down")
    running.up()
    assert running.api.get(created.headers["Location"]).json()["email"] == user["email"]
