import os
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import rendering

pytest.register_assert_rewrite("servers", "delivery_model")
pytest_plugins = ["servers.fixtures"]


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
def _exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "template"
    return shutil.copytree(rendering.snapshot, folder, ignore=shutil.ignore_patterns(".git"))


@pytest.fixture
def without_history(monkeypatch: pytest.MonkeyPatch, _exported: Path) -> None:
    """Render from plain files: Copier clones nothing, and refuses an answer in a tenth of the time."""
    monkeypatch.setattr(rendering, "snapshot", _exported)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The service of a combination, rendered once: to be read by all, and changed by none."""

    @cache
    def once(combination: str) -> Path:
        folder = tmp_path_factory.mktemp("mein schöner") / "service"
        return rendering.render(folder, **rendering.COMBINATIONS[combination])

    return once


@pytest.fixture(scope="session", params=["bare-sqlite", "redis-postgresql", "celery-postgresql"])
def one_of_each_room(request: pytest.FixtureRequest, rendered: Callable[[str], Path]) -> Path:
    return rendered(request.param)


@pytest.fixture(scope="session")
def celery_service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with every room on, for PostgreSQL, installed in a folder whose name is not plain."""
    service = rendering.render(
        tmp_path_factory.mktemp("mein schöner") / "service", **rendering.COMBINATIONS["celery-postgresql"]
    )
    rendering.install(service)
    return service
