"""The page at /tasks/ui in a real browser, with a service and a worker behind it."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no stubs
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Route, expect, sync_playwright
from servers import unavailable
from workers.processes import Api, Service

pytestmark = [pytest.mark.usefixtures("worker"), pytest.mark.slow]

HERE = Path(__file__).parent
CHROMIUM = Path("/usr/bin/chromium")
QUIET = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
KEY = "a-key-that-only-the-tests-know"
OTHER_KEY = "the-key-of-another-owner"
PAGE = "/tasks/ui"
TASKS = "/api/v1/tasks"
LIST = re.compile(r"/api/v1/tasks\?")
EVENTS = re.compile(r"/api/v1/tasks/[^/]+/events$")


@pytest.fixture(scope="module")
def service(new_service: Callable[[], Service], folder: Path) -> Iterator[Service]:
    """One that has the tasks of shown.py, and keys of two owners."""
    shown = folder / "app" / "tasks" / "shown.py"
    shutil.copy2(HERE / "shown.py", shown)
    keys = ",".join(
        f"{owner}:{sha256(key.encode()).hexdigest()}" for owner, key in (("shop", KEY), ("other", OTHER_KEY))
    )
    yield new_service().set(TASK_API_KEYS=keys, CELERY_CANCEL_GRACE="0.5")
    shown.unlink()


@pytest.fixture(scope="module")
def worker(service: Service) -> Iterator[None]:
    with service.worker("-c", "4"):
        yield


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        unavailable(f"there is no {CHROMIUM}")
    expect.set_options(timeout=15_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-sync", *QUIET])
        yield browser
        browser.close()


class Faults:
    """What a page must not do, whatever is tested of it: complain, or ask another host."""

    def __init__(self, page: Page, url: str) -> None:
        self.seen: list[str] = []
        self._url = url
        page.on("pageerror", lambda error: self.seen.append(str(error)))
        page.on("console", self._hear)
        page.on("request", self._see)
        page.on("dialog", lambda dialog: self.seen.append(dialog.message))

    def _hear(self, message: ConsoleMessage) -> None:
        # the browser itself says so of each answer of 400 and above
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.seen.append(message.text)

    def _see(self, request: Request) -> None:
        if not request.url.startswith(f"{self._url}/"):
            self.seen.append(request.url)


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


def tell(script: Path, line: str) -> None:
    with script.open("a") as lines:
        lines.write(f"{line}\n")


def queue_task(api: Api, name: str, key: str = KEY, **arguments: object) -> str:
    answer = httpx2.post(f"{api.url}{TASKS}/{name}", json=arguments, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["task_id"])


def read_task(api: Api, task_id: str) -> dict[str, Any]:
    answer = httpx2.get(f"{api.url}{TASKS}/{task_id}", headers={"Authorization": f"Bearer {KEY}"})
    return dict(answer.json())


def row(page: Page, task_id: str) -> Locator:
    return page.locator(f"[id='task-{task_id}']")


def newest_row(page: Page) -> Locator:
    return page.get_by_role("listitem").first


def id_of(row: Locator) -> str:
    return str(row.get_attribute("id")).removeprefix("task-")


def open_form(page: Page, task: str) -> Locator:
    """The form for that task."""
    form = page.locator("#queue-form")
    if not form.is_visible():
        page.locator("summary", has_text="Queue a task").click()
    form.get_by_label("Task", exact=True).select_option(task)
    return form


def fulfil(route: Route, status: int, body: object, **headers: str) -> None:
    kind = "application/json" if status < 400 else "application/problem+json"
    route.fulfill(status=status, body=json.dumps(body), content_type=kind, headers=headers)


# the key


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


# the form


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


# the list


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


# how it looks, and sounds


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
