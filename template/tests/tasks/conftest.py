"""Tasks are called as functions: no queue, no worker, a real database."""

import pytest


@pytest.fixture(autouse=True)
def _own_worker_loop(database: None, closed_worker_loop: object) -> None:
    """Each test has an empty database and leaves nothing open."""
