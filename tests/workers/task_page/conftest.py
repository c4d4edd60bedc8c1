"""The page at /tasks/ui in a real browser, with a service and a worker behind it."""

import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from workers.processes import Api, Service
from workers.task_page.visit import KEY, OTHER_KEY, PAGE, Faults, tell

SHOWN = Path(__file__).parents[1] / "shown.py"


@pytest.fixture(scope="module")
def service(new_service: Callable[[], Service], folder: Path) -> Iterator[Service]:
    """One that has the tasks of shown.py, and keys of two owners."""
    shown = folder / "app" / "tasks" / "shown.py"
    shutil.copy2(SHOWN, shown)
    keys = ",".join(
        f"{owner}:{sha256(key.encode()).hexdigest()}" for owner, key in (("shop", KEY), ("other", OTHER_KEY))
    )
    yield new_service().set(TASK_API_KEYS=keys, CELERY_CANCEL_GRACE="0.5")
    shown.unlink()


@pytest.fixture(scope="module")
def worker(service: Service) -> Iterator[None]:
    with service.worker("-c", "4"):
        yield


@pytest.fixture
def new_page(browser: Browser, api: Api) -> Iterator[Callable[..., Page]]:
    """Opens the page in a context of its own, with the key in place unless told otherwise."""
    opened: list[tuple[Page, Faults]] = []

    def new_page(
        query: str = "", *, key: str | None = KEY, load: bool = True, url: str = api.url, **options: Any
    ) -> Page:
        context = browser.new_context(base_url=url, **options)
        context.set_default_timeout(15_000)
        page = context.new_page()
        opened.append((page, Faults(page, url)))
        if key:
            page.add_init_script(f"sessionStorage.getItem('api-key') ?? sessionStorage.setItem('api-key', '{key}')")
        if load:
            page.goto(f"{PAGE}{query}")
        return page

    yield new_page
    for page, _ in opened:
        page.context.close()
    assert [fault for _, faults in opened for fault in faults.seen] == []


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    return new_page()


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Path]:
    """What a task `shown.steps` is told, last that it may end."""
    script = tmp_path / "script"
    script.touch()
    yield script
    tell(script, "end")
