import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from own_tests import servers_at_hand, skip_for_want_of
from rendering import COMBINATIONS, ROOT, environment, install, render, run
from servers import HOST, end

IMPORT_EVERYTHING = """
import importlib, pkgutil, app
for module in pkgutil.walk_packages(app.__path__, "app."):
    importlib.import_module(module.name)
"""
CELERY = ("celery", "-A", "app.core.celery:celery_app")
QUICK = "celery-postgresql"
"""The cookbook's tests take minutes; what is missing in one of the others is found sooner by what its files import."""
ONE_QUICKLY = [name if name == QUICK else pytest.param(name, marks=pytest.mark.slow) for name in COMBINATIONS]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One environment for all, brought to each service's lock in turn, so that one cache of types serves them all."""
    folder = tmp_path_factory.mktemp("shared")
    names = {"UV_PROJECT_ENVIRONMENT": "venv", "MYPY_CACHE_DIR": "mypy", "RUFF_CACHE_DIR": "ruff"}
    return {variable: str(folder / name) for variable, name in names.items()}


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
