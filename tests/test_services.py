import itertools
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from manifest import CONFIGURATION
from rendering import COMBINATIONS, PYTHON_VERSION, ROOT, environment, find_python, install, render, run
from servers import HOST, PostgresServer, RedisServer, end

IMPORT_EVERYTHING = """
import importlib, pkgutil, app
for module in pkgutil.walk_packages(app.__path__, "app."):
    importlib.import_module(module.name)
"""
number = itertools.count()
CELERY = ("celery", "-A", "app.core.celery:celery_app")
EVERYTHING = "examples-postgresql"
ONE_QUICKLY = [name if name == EVERYTHING else pytest.param(name, marks=pytest.mark.slow) for name in COMBINATIONS]
"""What is missing in one of the others is found sooner by what its files import."""
OTHER_PYTHONS = [version for version in CONFIGURATION["python_version"]["choices"] if version != PYTHON_VERSION]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One environment for all, brought to each service's lock in turn, so that one cache of types serves them all."""
    folder = tmp_path_factory.mktemp("shared")
    names = {"UV_PROJECT_ENVIRONMENT": "venv", "MYPY_CACHE_DIR": "mypy", "RUFF_CACHE_DIR": "ruff"}
    return {variable: str(folder / name) for variable, name in names.items()}


def skip_for_want_of(lacking: list[str]) -> None:
    if lacking:
        pytest.skip(f"green, but without the tests that need {' and '.join(lacking)}")


def servers_at_hand(request: pytest.FixtureRequest, combination: str) -> tuple[dict[str, str], list[str]]:
    """Where the service's own tests find real servers, and the servers that this machine lacks."""
    addresses, lacking = {}, []
    if combination.endswith("postgresql"):
        try:
            server: PostgresServer = request.getfixturevalue("postgres_server")
            addresses["TEST_DATABASE_URL"] = server.create_database(f"own_tests_{next(number)}")
        except pytest.skip.Exception:
            lacking.append("PostgreSQL")
    if not combination.startswith("bare"):
        try:
            redis: RedisServer = request.getfixturevalue("redis_server")
            addresses["TEST_REDIS_URL"] = redis.url()
        except pytest.skip.Exception:
            lacking.append("Redis")
    return addresses, lacking


@pytest.mark.parametrize("combination", ONE_QUICKLY)
def test_the_services_own_check_is_green(
    request: pytest.FixtureRequest, tmp_path: Path, shared: dict[str, str], combination: str
) -> None:
    service = render(tmp_path / "mein schöner service", **COMBINATIONS[combination])
    addresses, lacking = servers_at_hand(request, combination)
    install(service, **shared)
    lock = (service / "uv.lock").read_bytes()
    run(service, "make", "check", **shared, **addresses)
    assert (service / "uv.lock").read_bytes() == lock
    skip_for_want_of(lacking)


@pytest.mark.parametrize("combination", ONE_QUICKLY)
def test_what_is_installed_in_production_is_enough_to_start(tmp_path: Path, combination: str) -> None:
    service = render(tmp_path / "mein schöner service", **COMBINATIONS[combination])
    install(service, "--no-dev")
    run(service, "python", "-m", "scripts.make_secrets")
    run(service, "python", "-c", IMPORT_EVERYTHING, APP_ENV="production")
    run(service, "alembic", "heads", APP_ENV="production")
    if combination.startswith(("celery", "examples")):
        assert "transport:redis" in run(service, *CELERY, "report", APP_ENV="production")
        for program in ("worker", "beat", "flower"):
            run(service, *CELERY, program, "--help", APP_ENV="production")
    with serve(service, APP_ENV="production") as address:
        assert ask(f"{address}/health/live") == 200
        assert ask(f"{address}/openapi.json") == 200


@pytest.mark.slow
@pytest.mark.parametrize("version", OTHER_PYTHONS)
def test_the_services_own_tests_are_green_on_other_pythons(
    request: pytest.FixtureRequest, tmp_path: Path, version: str
) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"uv finds no Python {version} on this machine")
    service = render(tmp_path / "service", python_version=version, **COMBINATIONS[EVERYTHING])
    addresses, lacking = servers_at_hand(request, EVERYTHING)
    install(service, UV_PYTHON=python)
    run(service, "pytest", **addresses)
    skip_for_want_of(lacking)


@pytest.mark.slow
@pytest.mark.parametrize("versions", [("--resolution", "lowest-direct"), ("--upgrade",)], ids=["oldest", "newest"])
def test_the_services_own_tests_are_green_on_the_oldest_and_the_newest_versions_that_it_allows(
    request: pytest.FixtureRequest, tmp_path: Path, versions: tuple[str, ...]
) -> None:
    service = render(tmp_path / "service", **COMBINATIONS[EVERYTHING])
    addresses, lacking = servers_at_hand(request, EVERYTHING)
    (service / "uv.lock").unlink()
    run(service, "uv", "sync", "--quiet", *versions)
    run(service, "pytest", **addresses)
    skip_for_want_of(lacking)


def test_the_image_installs_with_the_uv_that_made_the_locks() -> None:
    assert f"FROM ghcr.io/astral-sh/uv:{version('uv')} AS" in (ROOT / "template" / "Dockerfile.jinja").read_text()


@contextmanager
def serve(service: Path, **env: str) -> Iterator[str]:
    """The service's address. Its socket is open from the start, so that a request waits until it is answered."""
    with socket.create_server((HOST, 0)) as listening:
        command = ["uvicorn", "app.main:app", "--fd", str(listening.fileno())]
        process = subprocess.Popen(command, cwd=service, env=environment(service, **env), pass_fds=[listening.fileno()])
        try:
            yield f"http://{HOST}:{listening.getsockname()[1]}"
        finally:
            end(process)


def ask(url: str) -> int:
    with urllib.request.urlopen(url, timeout=20) as answer:
        status: int = answer.status
        return status
