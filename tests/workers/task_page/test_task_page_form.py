"""The form by which a task is queued."""

import re
from uuid import uuid4

import httpx2
import pytest
from playwright.sync_api import Page, Route, expect
from workers.processes import Api
from workers.task_page.visit import KEY, TASKS, fulfil, id_of, newest_row, open_form, read_task, row

pytestmark = [pytest.mark.usefixtures("worker"), pytest.mark.slow]


def test_the_form_has_a_fitting_field_for_each_argument(api: Api, page: Page) -> None:
    form = open_form(page, "shown.arguments")
    whole = form.get_by_label("whole")
    expect(whole).to_have_attribute("type", "number")
    expect(whole).to_have_value("3")
    assert [whole.get_attribute(name) for name in ("min", "max", "step")] == ["1", "5", "1"]
    form.get_by_label("text").fill("some")
    whole.fill("4")
    form.get_by_label("part").fill("0.25")
    form.get_by_label("loud").check()
    form.get_by_label("colour").select_option("blue")
    form.get_by_label("numbers").fill("[1, 2]")
    form.get_by_role("button", name="Queue").click()
    task = newest_row(page)
    expect(task.locator(".status")).to_have_text("Succeeded")
    assert read_task(api, id_of(task))["result"] == {
        "text": "some",
        "whole": 4,
        "part": 0.25,
        "loud": True,
        "colour": "blue",
        "numbers": [1, 2],
    }
    open_form(page, "users.update_stats")
    expect(form.get_by_label("day")).to_have_attribute("type", "date")


def test_what_is_wrong_is_said_beside_the_field(page: Page) -> None:
    form = open_form(page, "shown.arguments")
    before = page.get_by_role("listitem").count()
    form.get_by_label("whole").fill("6")
    form.get_by_label("numbers").fill("[1,")
    form.get_by_role("button", name="Queue").click()
    expect(form.get_by_label("text")).to_be_focused()
    expect(form.get_by_label("text")).to_have_accessible_description(re.compile("fill"))
    expect(form.get_by_label("whole")).to_have_accessible_description(re.compile("less than or equal to 5"))
    expect(form.get_by_label("numbers")).to_have_accessible_description(re.compile("This is no JSON"))

    form.get_by_label("text").fill("some")
    form.get_by_label("whole").fill("5")
    form.get_by_label("numbers").fill('["one"]')  # of this only the API knows
    form.get_by_role("button", name="Queue").click()
    expect(form.get_by_label("numbers")).to_be_focused()
    expect(form.get_by_label("numbers")).to_have_attribute("aria-invalid", "true")
    expect(form.get_by_label("numbers")).to_have_accessible_description(re.compile("0: .*integer"))
    expect(form.get_by_label("whole")).not_to_have_attribute("aria-invalid", "true")
    assert page.get_by_role("listitem").count() == before


def test_a_task_that_could_not_be_queued_says_so_and_is_queued_once_when_asked_again(api: Api, page: Page) -> None:
    keys: list[str | None] = []

    def lose_the_answer(route: Route) -> None:
        keys.append(route.request.header_value("Idempotency-Key"))
        route.fetch()
        route.abort()

    def refuse(route: Route) -> None:
        keys.append(route.request.header_value("Idempotency-Key"))
        fulfil(route, 429, {"detail": "You have too many tasks."}, **{"Retry-After": "7"})

    form = open_form(page, "shown.arguments")
    text = f"once {uuid4()}"
    form.get_by_label("text").fill(text)
    error, press = form.locator("#queue-error"), form.get_by_role("button", name="Queue")
    address = f"**{TASKS}/shown.arguments"
    page.route(address, refuse, times=1)
    press.click()
    expect(error).to_have_text("You have too many tasks. Try again in 7 s.")
    page.route(address, lose_the_answer, times=1)
    press.click()
    expect(error).to_have_text("The service does not answer.")
    press.click()
    expect(page.get_by_role("status")).to_contain_text("is queued")
    expect(error).to_have_text("")
    assert len(set(keys)) == 1
    listed = httpx2.get(f"{api.url}{TASKS}", params={"limit": 10}, headers={"Authorization": f"Bearer {KEY}"})
    ids = [task["task_id"] for task in listed.json()["tasks"] if task["name"] == "shown.arguments"]
    expect(row(page, ids[0]).locator(".status")).to_have_text("Succeeded")
    assert [read_task(api, task_id)["result"]["text"] for task_id in ids].count(text) == 1
