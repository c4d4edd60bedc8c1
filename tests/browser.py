"""A real browser: Debian's Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright
from servers import unavailable

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")  # while it is open, no other event loop can run in its thread
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        unavailable(f"there is no {CHROMIUM}")
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-sync", *QUIET])
        yield browser
        browser.close()
