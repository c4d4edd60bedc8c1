"""What a visitor of the page at /tasks/ui sees and does, and what they ask of the API beside it."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import ConsoleMessage, Locator, Page, Request, Route
from workers.processes import Api

KEY = "a-key-that-only-the-tests-know"
OTHER_KEY = "the-key-of-another-owner"
PAGE = "/tasks/ui"
TASKS = "/api/v1/tasks"
LIST = re.compile(r"/api/v1/tasks\?")
EVENTS = re.compile(r"/api/v1/tasks/[^/]+/events$")


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
