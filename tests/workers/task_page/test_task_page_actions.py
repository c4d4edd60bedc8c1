"""The key, and what is done with it: tasks are queued, followed, cancelled and replayed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from workers.processes import Api
from workers.task_page.visit import (
    EVENTS,
    KEY,
    LIST,
    OTHER_KEY,
    PAGE,
    TASKS,
    id_of,
    newest_row,
    open_form,
    queue_task,
    read_task,
    row,
    tell,
)

pytestmark = [pytest.mark.usefixtures("worker"), pytest.mark.slow]


def test_the_page_asks_for_the_key_where_the_api_does_and_keeps_it_in_its_tab(new_page: Callable[..., Page]) -> None:
    page = new_page(key=None)
    key = page.get_by_label("Key", exact=True)
    expect(key).to_be_focused()
    expect(page.get_by_text("A key is needed.")).to_be_visible()

    key.fill("wrong")
    key.press("Enter")
    expect(page.get_by_text("This key was not accepted.")).to_be_visible()
    expect(key).to_be_focused()
    expect(key).to_have_attribute("aria-invalid", "true")

    key.fill(KEY)
    key.press("Enter")
    expect(key).to_be_hidden()
    expect(page.locator("#list")).to_have_attribute("aria-busy", "false")
    page.reload()
    expect(page.locator("#list")).to_have_attribute("aria-busy", "false")
    expect(key).to_be_hidden()

    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    assert page.context.cookies() == []
    assert KEY not in page.url
    another_tab = page.context.new_page()
    another_tab.goto(PAGE)
    expect(another_tab.get_by_label("Key", exact=True)).to_be_focused()

    page.get_by_role("button", name="API key").click()
    page.get_by_role("button", name="Forget the key").click()
    expect(key).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize("key", ["with a space", "line\u2028break", "schlüssel", ""])
def test_what_can_be_no_key_is_refused_before_it_is_sent(new_page: Callable[..., Page], key: str) -> None:
    page = new_page(key=None)
    field = page.get_by_label("Key", exact=True)
    expect(field).to_be_focused()
    field.fill(key)
    field.press("Enter")
    expect(page.locator("#key-error")).to_contain_text("without spaces" if key else "Type or paste")
    assert page.evaluate("sessionStorage.length") == 0


def test_an_owner_sees_their_own_tasks_alone(api: Api, new_page: Callable[..., Page]) -> None:
    own, other = queue_task(api, "shown.markup", OTHER_KEY), queue_task(api, "shown.markup")
    page = new_page(key=OTHER_KEY)
    expect(row(page, own)).to_be_visible()
    expect(row(page, other)).to_have_count(0)
    page.goto(f"{PAGE}?task={other}")
    expect(page.get_by_role("alert")).to_contain_text(f"There is no task {other}")


# queue, follow, cancel, replay


def test_a_task_is_queued_with_the_form_and_followed_live(
    api: Api, new_page: Callable[..., Page], script: Path
) -> None:
    page = new_page(load=False)
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if EVENTS.search(request.url) else None)
    page.goto(PAGE)
    form = open_form(page, "shown.steps")
    expect(form.get_by_text("Do what the last line of a file says")).to_be_visible()
    form.get_by_label("script").fill(str(script))
    form.get_by_role("button", name="Queue").click()
    expect(page.get_by_role("status")).to_contain_text("shown.steps is queued as")
    task = newest_row(page)
    task_id = id_of(task)
    expect(task.locator(".status")).to_have_text("Started")
    page.route(LIST, lambda route: route.abort())  # from here on the stream alone can tell

    tell(script, "3 10 a third")
    bar = page.get_by_role("progressbar", name=f"Progress of shown.steps {task_id[:8]}")
    expect(bar).to_have_attribute("value", "3")
    expect(bar).to_have_attribute("max", "10")
    expect(task.get_by_text("3 of 10 · a third")).to_be_visible()
    expect(task.locator(".status")).to_have_text("Running")
    tell(script, "7 10 two thirds")
    expect(bar).to_have_attribute("value", "7")
    tell(script, "end")
    expect(task.locator(".status")).to_have_text("Succeeded")
    expect(bar).to_be_hidden()
    expect(page.get_by_role("status")).to_contain_text(f"shown.steps {task_id[:8]} succeeded.")

    task.get_by_text("Details").click()
    expect(task.locator(".result")).to_have_text('"all was said"')
    expect(task.locator(".full-id")).to_have_text(task_id)
    assert streams == [f"{api.url}{TASKS}/{task_id}/events"]


def test_a_task_is_cancelled_in_a_second_step(api: Api, page: Page, script: Path) -> None:
    task_id = queue_task(api, "shown.steps", script=str(script))
    task = row(page, task_id)
    expect(task.locator(".status")).to_have_text("Started")
    cancel = page.get_by_role("button", name=f"Cancel shown.steps {task_id[:8]}", exact=True)
    cancel.click()
    expect(cancel).to_be_hidden()
    expect(task.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(cancel).to_be_focused()
    assert read_task(api, task_id)["status"] == "STARTED"

    cancel.click()
    task.get_by_role("button", name="Yes, cancel").click()
    expect(task.locator(".status")).to_have_text("Cancelled")
    expect(task.get_by_role("button")).to_have_count(0)
    expect(task).to_be_focused()  # the button that had the focus is gone
    expect(page.get_by_role("status")).to_contain_text("cancelled")
    assert read_task(api, task_id)["status"] == "REVOKED"


def test_a_task_that_has_ended_meanwhile_is_not_cancelled_and_the_page_says_why(
    api: Api, page: Page, script: Path
) -> None:
    task_id = queue_task(api, "shown.steps", script=str(script))
    task = row(page, task_id)
    expect(task.locator(".status")).to_have_text("Started")
    page.route(EVENTS, lambda route: route.abort())
    page.route(LIST, lambda route: route.abort())
    page.reload()
    page.unroute(LIST)
    page.reload()
    task.get_by_role("button", name="Cancel").click()
    page.route(LIST, lambda route: route.abort())
    tell(script, "end")
    while read_task(api, task_id)["status"] != "SUCCESS":
        page.wait_for_timeout(20)
    task.get_by_role("button", name="Yes, cancel").click()
    expect(page.get_by_role("alert").first).to_contain_text("has ended already")
    expect(task.locator(".status")).to_have_text("Succeeded")


def test_a_failure_is_shown_and_replayed(api: Api, page: Page, script: Path) -> None:
    tell(script, "fail")
    task_id = queue_task(api, "shown.steps", script=str(script))
    task = row(page, task_id)
    expect(task.locator(".status")).to_have_text("Failed")
    expect(task.get_by_text("ValueError: it says so")).to_be_visible()

    script.write_text("end\n")
    page.get_by_role("button", name=f"Replay shown.steps {task_id[:8]}").click()
    expect(task.get_by_text("Replayed as")).to_be_visible()
    expect(task.get_by_role("button", name="Replay")).to_have_count(0)
    new = row(page, read_task(api, task_id)["replayed_as"])
    expect(new.locator(".status")).to_have_text("Succeeded")
    expect(task.locator(".status")).to_have_text("Failed")
    task.locator(".replayed a").click()
    expect(page.get_by_role("listitem").filter(has=page.locator(".status"))).to_have_count(1)
    assert page.url.endswith(f"?task={id_of(page.locator('.task'))}")


def test_all_of_it_can_be_done_with_the_keyboard(api: Api, new_page: Callable[..., Page], script: Path) -> None:
    page = new_page(key=None)
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    press_tab_until(page, page.locator("summary", has_text="Queue a task"))
    page.keyboard.press("Enter")
    press_tab_until(page, page.get_by_label("Task", exact=True))
    page.keyboard.type("shown.steps")
    press_tab_until(page, page.get_by_label("script"))
    page.keyboard.type(str(script))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("is queued")
    task = newest_row(page)
    expect(task.locator(".status")).to_have_text("Started")
    press_tab_until(page, task.get_by_role("button", name="Cancel"))
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")
    expect(task.get_by_role("button", name="Yes, cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(task.locator(".status")).to_have_text("Cancelled")

    tell(script, "fail")
    failed = row(page, queue_task(api, "shown.steps", script=str(script)))
    expect(failed.locator(".status")).to_have_text("Failed")
    page.locator("h1").click()
    press_tab_until(page, failed.get_by_role("button", name="Replay"))
    page.keyboard.press("Space")
    expect(failed.get_by_text("Replayed as")).to_be_visible()
    expect(failed).to_be_focused()


def press_tab_until(page: Page, target: Locator) -> None:
    """Go there with the Tab key, and see on the way that one can see where one is."""
    for _ in range(80):
        page.keyboard.press("Tab")
        outlined = "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
        assert page.evaluate(f"document.activeElement === document.body || {outlined}")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"the Tab key does not lead to {target}")
