"""The list of tasks: what it shows, and how it is kept up to date."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect
from workers.processes import Api, Service
from workers.task_page.visit import (
    EVENTS,
    KEY,
    LIST,
    PAGE,
    fulfil,
    newest_row,
    queue_task,
    read_task,
    row,
    tell,
)

pytestmark = [pytest.mark.usefixtures("worker"), pytest.mark.slow]


def test_what_a_task_tells_is_text_and_no_markup(api: Api, page: Page) -> None:
    told, failed = queue_task(api, "shown.markup"), queue_task(api, "shown.markup", fail=True)
    expect(row(page, failed).locator(".failure")).to_contain_text("<img src=nothing")
    expect(row(page, told).locator(".status")).to_have_text("Succeeded")
    row(page, told).get_by_text("Details").click()
    expect(row(page, told).locator(".result")).to_contain_text("<img src=nothing")
    assert page.locator("#list img, #list b").count() == 0
    assert "broken into" not in page.title()


def test_filters_are_in_the_address(api: Api, page: Page, new_page: Callable[..., Page]) -> None:
    failed, told = queue_task(api, "shown.markup", fail=True), queue_task(api, "shown.markup")
    expect(row(page, failed).locator(".status")).to_have_text("Failed")
    page.get_by_label("Status").select_option("Failed")
    page.get_by_label("Name").fill("shown.markup")
    page.get_by_label("Name").press("Enter")
    expect(row(page, told)).to_have_count(0)
    expect(row(page, failed)).to_be_visible()
    assert page.url.endswith("?status=FAILURE&name=shown.markup")

    linked = new_page("?status=FAILURE&name=shown.markup")
    expect(row(linked, failed)).to_be_visible()
    expect(linked.locator(".status").filter(has_not_text="Failed")).to_have_count(0)
    expect(linked.get_by_label("Status")).to_have_value("FAILURE")
    expect(linked.get_by_label("Name")).to_have_value("shown.markup")

    page.go_back()
    page.go_back()
    expect(row(page, told)).to_be_visible()
    expect(page.get_by_label("Status")).to_have_value("")


def test_more_is_loaded_page_by_page_and_what_is_new_comes_on_top(api: Api, new_page: Callable[..., Page]) -> None:
    name = {"name": "shown.arguments"}
    queued = [queue_task(api, "shown.arguments", text=f"{n:02}") for n in range(45)]
    page = new_page(f"?name={name['name']}")
    expect(row(page, queued[-1])).to_be_visible()
    expect(row(page, queued[0])).to_have_count(0)
    more = page.get_by_role("button", name="Load more")
    for loaded in (40, 60):
        more.click()
        expect(page.locator(".task").nth(min(loaded, 45) - 1)).to_be_attached()
    shown = page.locator(".task").evaluate_all("rows => rows.map(row => row.id.slice(5))")
    assert shown[:45] == queued[::-1]
    assert len(shown) == len(set(shown))
    newest = queue_task(api, "shown.arguments", text="new")
    expect(newest_row(page)).to_have_id(f"task-{newest}")


def test_what_runs_further_down_is_kept_up_to_date_too(api: Api, new_page: Callable[..., Page], script: Path) -> None:
    task_id = queue_task(api, "shown.steps", script=str(script))
    for n in range(25):
        queue_task(api, "shown.arguments", text=f"{n:02}")
    page = new_page(load=False)
    page.route(EVENTS, lambda route: route.abort())
    page.goto(PAGE)
    page.get_by_role("button", name="Load more").click()
    expect(row(page, task_id).locator(".status")).to_have_text("Started")
    tell(script, "end")
    expect(row(page, task_id).locator(".status")).to_have_text("Succeeded")


def test_all_tabs_together_hold_few_connections(api: Api, new_page: Callable[..., Page], script: Path) -> None:
    """A browser has six of them to one host, over HTTP/1.1: streams must leave some for everything else."""
    running = [queue_task(api, "shown.steps", script=str(script)) for _ in range(4)]
    first = new_page()
    pages = [first, first.context.new_page(), first.context.new_page()]
    open_streams = watch_streams(*pages)
    for page in pages:
        page.add_init_script(f"sessionStorage.setItem('api-key', '{KEY}')")
        page.goto(PAGE)
    rows = [row(page, task_id) for page in pages for task_id in running]
    for task in rows:
        expect(task.locator(".status")).to_have_text("Started")
    assert len(open_streams) <= 3
    tell(script, "1 2 half")
    for task in rows:  # what is on no stream is asked for
        expect(task.get_by_text("1 of 2 · half")).to_be_visible()
    assert 1 <= len(open_streams) <= 3
    tell(script, "end")
    for task in rows:
        expect(task.locator(".status")).to_have_text("Succeeded")


def watch_streams(*pages: Page) -> set[Request]:
    """Those that are open, from now on."""
    open_streams: set[Request] = set()

    def begin(request: Request) -> None:
        if EVENTS.search(request.url):
            open_streams.add(request)

    def end(request: Request) -> None:
        open_streams.discard(request)

    for page in pages:
        page.on("request", begin)
        page.on("requestfinished", end)
        page.on("requestfailed", end)
    return open_streams


def test_where_tabs_cannot_count_together_each_holds_one_connection(
    api: Api, new_page: Callable[..., Page], script: Path
) -> None:
    """Such as over plain HTTP, from another machine."""
    running = [queue_task(api, "shown.steps", script=str(script)) for _ in range(3)]
    page = new_page(load=False)
    page.add_init_script("Object.defineProperty(Navigator.prototype, 'locks', {value: undefined})")
    open_streams = watch_streams(page)
    with page.expect_request(EVENTS):
        page.goto(PAGE)
    tell(script, "1 2 half")
    for task_id in running:
        expect(row(page, task_id).get_by_text("1 of 2 · half")).to_be_visible()
    assert len(open_streams) == 1


def test_a_page_that_nobody_sees_asks_for_nothing(api: Api, new_page: Callable[..., Page], script: Path) -> None:
    task_id = queue_task(api, "shown.steps", script=str(script))
    page = new_page(load=False)
    open_streams = watch_streams(page)
    page.clock.install()
    with page.expect_request(EVENTS):
        page.goto(PAGE)
    expect(row(page, task_id).locator(".status")).to_have_text("Started")
    hide = """hidden => {
        Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    asked: list[str] = []
    with page.expect_event("requestfailed"):  # the stream, given up
        page.evaluate(hide, True)
    page.on("request", lambda request: asked.append(request.url))
    tell(script, "end")
    page.clock.run_for(60_000)
    assert (asked, len(open_streams)) == ([], 0)
    page.evaluate(hide, False)
    expect(row(page, task_id).locator(".status")).to_have_text("Succeeded")


def test_a_restart_of_the_api_is_sat_out(service: Service, new_page: Callable[..., Page], script: Path) -> None:
    api = service.api()
    with api:
        page = new_page(url=api.url)
        task = row(page, queue_task(api, "shown.steps", script=str(script)))
        expect(task.locator(".status")).to_have_text("Started")
    expect(page.locator("#trouble")).to_have_text("The service does not answer.")
    tell(script, "3 10 a third")
    with api:
        expect(task.get_by_text("3 of 10 · a third")).to_be_visible()
        expect(page.locator("#trouble")).to_be_hidden()
        tell(script, "end")
        expect(task.locator(".status")).to_have_text("Succeeded")
        page.close()


def test_a_stream_that_breaks_is_taken_up_where_it_was(api: Api, new_page: Callable[..., Page], script: Path) -> None:
    task_id = queue_task(api, "shown.steps", script=str(script))
    page = new_page(load=False)
    seen: list[str | None] = []
    state = read_task(api, task_id) | {"status": "PROGRESS"}

    def event(current: int, kind: str = "state") -> str:
        task = state | {"progress": {"current": current, "total": 9, "message": ""}}
        task |= {"status": "SUCCESS"} if kind == "end" else {}
        return f": hello\r\nid: step-{current}\r\nevent: {kind}\r\ndata: {json.dumps(task)}\r\n\r\n"

    answers = [
        event(1) + event(2) + "id: step-3\ndata: {half of an ev",
        event(4).replace("\r\n", "\n"),
        None,
        event(5).replace("\r\n", "\r"),
        event(9, "end"),
    ]

    def answer(route: Route) -> None:
        seen.append(route.request.header_value("Last-Event-ID"))
        body = answers[len(seen) - 1]
        if body is None:
            fulfil(route, 503, {"detail": "away"})
        else:
            route.fulfill(body=body, content_type="text/event-stream")

    page.route(re.compile(f"{task_id}/events$"), answer)
    page.route(LIST, lambda route: fulfil(route, 200, {"tasks": [state], "next": None}), times=1)
    page.route(re.compile(f"{task_id}$"), lambda route: fulfil(route, 200, state))
    page.goto(PAGE)
    expect(row(page, task_id).locator(".status")).to_have_text("Succeeded")
    assert seen == [None, "step-2", "step-4", "step-4", "step-5"]


def test_a_service_that_is_away_is_told_of_once_and_waited_for(api: Api, page: Page) -> None:
    expect(page.locator("#list")).to_have_attribute("aria-busy", "false")
    away = {"detail": "The task queue does not answer; try again soon."}
    page.route(LIST, lambda route: fulfil(route, 503, away, **{"Retry-After": "1"}))
    page.get_by_label("Status").select_option("Waiting")
    trouble = page.locator("#trouble")
    expect(trouble).to_contain_text("The task queue does not answer")
    page.unroute(LIST)
    expect(trouble).to_be_hidden()
