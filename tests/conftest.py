import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import rendering

pytest.register_assert_rewrite("servers", "delivery_model")
pytest_plugins = ["servers.fixtures", "browser"]


@pytest.fixture(scope="session", autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees what is set on the machine for Git and Copier; a `trust:` there would hide that we need it."""
    folder = tmp_path_factory.mktemp("isolated")
    (folder / "copier.yml").write_text("{}\n")
    (folder / "gitconfig").write_text(
        "[user]\nname = Test\nemail = test@example.org\n[init]\ndefaultBranch = main\n[commit]\ngpgsign = false\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COPIER_SETTINGS_PATH", str(folder / "copier.yml"))
        patch.setenv("GIT_CONFIG_GLOBAL", str(folder / "gitconfig"))
        patch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
        for name in [name for name in os.environ if name.startswith(("APP_", "CELERY_", "DATABASE_", "REDIS_"))]:
            patch.delenv(name)  # settings of a service would win over those that the tests choose
        patch.setattr(rendering, "snapshot", rendering.take_snapshot(folder / "template"))
        yield


@pytest.fixture(scope="session")
def _jinja_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jinja") / "template"
    shutil.copytree(rendering.snapshot / "hooks", folder / "hooks")
    shutil.copy(rendering.snapshot / "copier.yml", folder)
    for path in (rendering.snapshot / "template").rglob("*.jinja"):
        copy = folder / path.relative_to(rendering.snapshot)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return folder


@pytest.fixture
def jinja_alone(monkeypatch: pytest.MonkeyPatch, _jinja_alone: Path) -> None:
    """Render the files in which answers are written and no others, in a tenth of the time."""
    monkeypatch.setattr(rendering, "snapshot", _jinja_alone)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The service of a combination, rendered once: to be read by all, and changed by none."""

    @cache
    def once(combination: str) -> Path:
        folder = tmp_path_factory.mktemp("mein schöner") / "service"
        return rendering.render(folder, **rendering.COMBINATIONS[combination])

    return once


@pytest.fixture(scope="session", params=["bare-sqlite", "redis-postgresql", "celery-postgresql", "examples-sqlite"])
def one_of_each_room(request: pytest.FixtureRequest, rendered: Callable[[str], Path]) -> Path:
    return rendered(request.param)


@pytest.fixture(scope="session")
def whole_service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with every room on, for PostgreSQL, installed in a folder whose name is not plain."""
    return installed(tmp_path_factory, "examples-postgresql")


@pytest.fixture(scope="session")
def celery_service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without the cookbook: what is measured of background work is measured of it alone."""
    return installed(tmp_path_factory, "celery-postgresql")


def installed(tmp_path_factory: pytest.TempPathFactory, combination: str) -> Path:
    service = rendering.render(
        tmp_path_factory.mktemp("mein schöner") / "service", **rendering.COMBINATIONS[combination]
    )
    rendering.install(service)
    return service
