import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest
import rendering
from docker.errors import APIError, ImageNotFound
from rendering import COMBINATIONS, git, run
from servers import unavailable
from stack.compose import DEVELOPMENT, Stack

HERE = Path(__file__).parent
PYTHON_VERSION = "3.13"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("stack")


@pytest.fixture(scope="session", autouse=True)
def engine() -> Iterator[Any]:
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        unavailable("there is no Docker engine")
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every room and PostgreSQL, with a task of a user's own, as a Git repository."""
    service = render(tmp_path_factory.mktemp("stack"), "examples-postgresql", "stack-under-test")
    shutil.copy2(HERE / "proof.py", service / "app" / "tasks" / "proof.py")
    git(service, "init", "--quiet")
    git(service, "add", "--all")
    git(service, "commit", "--quiet", "--message", "Start")
    return service


def render(folder: Path, combination: str, name: str) -> Path:
    answers = COMBINATIONS[combination] | {"project_name": name, "python_version": PYTHON_VERSION}
    return rendering.render(folder / name, **answers)


@pytest.fixture(scope="session")
def production(service: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone with real secrets."""
    clone = tmp_path_factory.mktemp("production") / service.name
    git(service, "clone", "--quiet", str(service), str(clone))
    make_secrets(clone)
    return clone


@pytest.fixture(scope="session")
def api_key(production: Path) -> str:
    """What `make api-key owner=stack` prints for that clone."""
    printed = run(production, sys.executable, "-m", "scripts.make_api_key", "stack")
    found = re.search(r"only now: (\S+)", printed)
    assert found, printed
    return found[1]


@pytest.fixture(scope="session")
def mail_image(service: Path, engine: Any) -> None:
    """Mailpit's; on a machine that reaches no registry of images, a stand-in under its name."""
    image = Stack(service, DEVELOPMENT).configuration()["services"]["mail"]["image"]
    with suppress(ImageNotFound):
        engine.images.get(image)
        return
    try:
        engine.images.pull(image)
    except APIError:
        engine.images.build(path=str(HERE / "images" / "mailpit"), tag=image, rm=True)


def make_secrets(service: Path) -> str:
    """What `make secrets` prints, with this repository's own environment in place of one of the service's."""
    return run(service, sys.executable, "-m", "scripts.make_secrets")


@pytest.fixture(scope="session")
def sqlite_service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("stack"), "bare-sqlite", "small-stack-under-test")
