"""How the page looks, and sounds."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no stubs
from playwright.sync_api import Page, expect
from workers.processes import Api
from workers.task_page.visit import open_form, queue_task, row, tell

pytestmark = [pytest.mark.usefixtures("worker"), pytest.mark.slow]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 320])
def test_it_is_accessible_in_light_and_dark_wide_and_narrow(
    api: Api, new_page: Callable[..., Page], script: Path, scheme: str, width: int
) -> None:
    """As far as axe can see; 320 pixels are also what 1280 are at a zoom of 400 %."""
    tell(script, "3 10 a third")
    running = queue_task(api, "shown.steps", script=str(script))
    failed, told = queue_task(api, "shown.markup", fail=True), queue_task(api, "shown.markup")
    page = new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    expect(row(page, running).locator(".status")).to_have_text("Running")
    expect(row(page, failed).locator(".status")).to_have_text("Failed")
    expect(row(page, told).locator(".status")).to_have_text("Succeeded")
    row(page, told).get_by_text("Details").click()
    row(page, running).get_by_role("button", name="Cancel").click()
    form = open_form(page, "shown.arguments")
    form.get_by_label("numbers").fill("[")
    form.get_by_text("Options").click()
    form.get_by_role("button", name="Queue").click()
    page.get_by_role("button", name="API key").click()

    page.screenshot(path=script.with_name("page.png"), full_page=True)
    print(script.with_name("page.png"))
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) < 384) == (scheme == "dark")


def test_nothing_moves_for_those_who_asked_for_that(new_page: Callable[..., Page]) -> None:
    for motion in ("reduce", "no-preference"):
        page = new_page(reduced_motion=motion)
        rules = page.evaluate(
            """[...document.styleSheets].flatMap(sheet => [...sheet.cssRules])
               .filter(rule => /transition|animation/.test(rule.cssText))
               .map(rule => rule instanceof CSSMediaRule && matchMedia(rule.conditionText).matches)"""
        )
        assert set(rules) == {motion == "no-preference"}


def test_a_status_is_told_by_word_and_shape(page: Page) -> None:
    shapes = page.evaluate("[...document.querySelectorAll('symbol')].map(shape => [shape.id, shape.innerHTML])")
    assert len({shape for _, shape in shapes}) == len(shapes) == 7
    words = page.get_by_label("Status").locator("option").all_text_contents()
    assert len(set(words)) == len(shapes) + 1
