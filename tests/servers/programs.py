"""Where the programs of the servers are. A test whose server is not installed is skipped; in CI, it fails."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")
DEBIAN_RABBITMQ = Path("/usr/lib/rabbitmq/bin")
"""Not those on the PATH, which become another user first."""


def unavailable(what: str) -> NoReturn:
    """Skip the test that needs it; where all tests must run, fail it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI runs every test")
    pytest.skip(what)


def find_redis() -> str:
    return shutil.which("redis-server") or unavailable("Redis (redis-server) is not installed")


def find_postgresql() -> Path:
    """The folder of its programs; not all of them are on the PATH everywhere."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    installed = sorted(DEBIAN_POSTGRESQL.glob("*/bin/initdb"), key=lambda program: int(program.parts[4]))
    if not installed:
        unavailable("PostgreSQL (initdb) is not installed")
    return installed[-1].parent
