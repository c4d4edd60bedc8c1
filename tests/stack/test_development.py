"""Somebody has just cloned the service and types `docker compose up --wait`."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect
from rendering import git
from servers import wait_until
from stack.compose import DEVELOPMENT, HEALTHY_WITHIN, Stack, stack

FLOWER_USER = ("admin", "development")
EMPTY_PAGE = 10_000
"""A screenshot of a page with nothing on it has fewer bytes."""


@pytest.fixture(scope="module")
def clone(service: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clone = tmp_path_factory.mktemp("development") / service.name
    git(service, "clone", "--quiet", str(service), str(clone))
    assert not (clone / "secret" / ".env.production").exists()
    return clone


@pytest.fixture(scope="module")
def running(clone: Path, mail_image: None) -> Iterator[Stack]:
    with stack(clone, DEVELOPMENT) as running:
        running.compose("build", "--quiet")
        seconds = running.up()
        print(f"healthy after {seconds:.1f} seconds")
        assert seconds < HEALTHY_WITHIN
        yield running
    assert running.left_behind() == []


@pytest.fixture(scope="module")
def proof(running: Stack) -> None:
    """The table that the tests' own task writes to."""
    running.sql("CREATE TABLE proof (key text, event text, host text)")


@pytest.fixture(scope="module")
def finished_task(running: Stack, proof: None) -> str:
    task_id = running.queue("proof.work", key="finished")
    running.wait_for(task_id, "SUCCESS")
    return task_id


def test_all_is_healthy_and_nothing_had_to_start_twice(running: Stack) -> None:
    assert running.ailing() == {}
    assert {one.name for one in running.containers() if one.attrs["RestartCount"]} == set()


def test_a_task_that_is_queued_from_outside_changes_the_database(running: Stack, proof: None) -> None:
    task = running.wait_for(running.queue("proof.work", key="effect"), "SUCCESS")
    assert {task["result"]} == running.hosts("worker")
    assert running.sql("SELECT event FROM proof WHERE key = 'effect'") == ["started", "done"]


def test_the_services_own_task_writes_its_figures_down(running: Stack) -> None:
    task = running.wait_for(running.queue("users.update_stats"), "SUCCESS")
    assert running.sql("SELECT day, users, active FROM user_statistics") == [
        "{day}|{users}|{active}".format_map(task["result"])
    ]


def test_a_running_task_can_be_cancelled(running: Stack, proof: None) -> None:
    task_id = running.queue("proof.work", key="cancelled", seconds=600)
    wait_until(lambda: running.sql("SELECT event FROM proof WHERE key = 'cancelled'") == ["started"])
    assert running.api.delete(f"/api/v1/tasks/{task_id}").status_code == 202
    running.wait_for(task_id, "REVOKED")
    assert running.sql("SELECT event FROM proof WHERE key = 'cancelled'") == ["started"]


def test_beat_runs_its_interval_task(running: Stack) -> None:
    with httpx2.Client(base_url=running.flower_url, auth=FLOWER_USER) as flower:

        def states() -> set[str]:
            tasks = flower.get("/api/tasks", params={"taskname": "system.heartbeat"}).json()
            return {task["state"] for task in tasks.values()}

        wait_until(lambda: states() == {"SUCCESS"}, seconds=45)
    entries = {entry["task"]: entry for entry in running.api.get("/api/v1/schedule").json()}
    assert entries["system.heartbeat"]["last_run"]


def test_an_e_mail_can_be_looked_at_and_its_link_works(running: Stack) -> None:
    user = running.api.post("/api/v1/users", json={"email": "ada@example.org", "name": "Ada"}).json()
    running.wait_for(running.queue("emails.send_verification", user_id=user["id"]), "SUCCESS")
    with httpx2.Client(base_url=f"{running.mail_url}/api/v1") as mail:
        (found,) = mail.get("/messages").json()["messages"]
        message = mail.get(f"/message/{found['ID']}").json()
    assert [one["Address"] for one in message["To"]] == ["ada@example.org"]
    link = re.search(r"^http://127\.0\.0\.1:8000/email-tokens#(\S+)", message["Text"], re.MULTILINE)
    assert link, message
    assert running.api.post("/api/v1/email-tokens", json={"token": link[1]}).json()["user_id"] == user["id"]


def test_an_order_is_paid_at_the_provider_that_takes_no_money(running: Stack) -> None:
    running.sql("INSERT INTO users (email, name) VALUES ('grace@example.org', 'Grace')")
    (order,) = running.sql(
        "INSERT INTO orders (reference, user_id, total_cents, currency)"
        " SELECT 'paid', id, 1250, 'EUR' FROM users WHERE name = 'Grace' RETURNING id"
    )
    running.wait_for(running.queue("payments.pay", order_id=int(order)), "SUCCESS")
    assert running.sql("SELECT status FROM orders WHERE reference = 'paid'") == ["paid"]


def test_a_webhook_that_it_sends_itself_is_taken(running: Stack) -> None:
    running.wait_for(running.queue("webhooks.send", type="order.seen", data={}), "SUCCESS")
    assert running.sql("SELECT count(*) FROM webhook_events") == ["1"]


def test_a_change_of_the_code_restarts_api_and_worker(running: Stack, clone: Path) -> None:
    (clone / "app" / "tasks" / "added.py").write_text(
        "from app.core.celery import celery_app\n\n\n"
        '@celery_app.task(name="added.later", exposed=True)\n'
        'def later() -> str:\n    return "from the new code"\n'
    )
    wait_until(lambda: "/api/v1/tasks/added.later" in running.api.get("/openapi.json").text, 30)
    task = running.wait_for(running.queue("added.later"), "SUCCESS", 60)
    assert task["result"] == "from the new code"


def test_every_port_is_open_to_this_machine_alone(running: Stack) -> None:
    published = running.published()
    assert set(published) == {"api", "flower", "mail", "postgres", "redis", "cache"}
    assert {address for addresses in published.values() for address, _ in addresses} == {"127.0.0.1"}


@pytest.fixture
def page(browser: Browser, running: Stack) -> Iterator[Page]:
    """Knows the password of Flower. Whatever a page needs must come from the stack, and come."""
    context = browser.new_context(http_credentials={"username": FLOWER_USER[0], "password": FLOWER_USER[1]})
    page = context.new_page()
    errors: list[str] = []
    page.on("requestfailed", lambda request: errors.append(f"{request.url}: {request.failure}"))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: None if "127.0.0.1" in request.url else errors.append(request.url))
    yield page
    context.close()
    assert [error for error in errors if not error.startswith("data:")] == []


def see(page: Page, folder: Path, name: str) -> None:
    """Keep a picture of the page, which must not be an empty one."""
    picture = page.screenshot(path=folder / f"{name}.png", full_page=True)
    print(folder / f"{name}.png")
    assert len(picture) > EMPTY_PAGE


def test_flower_shows_its_workers(running: Stack, page: Page, tmp_path: Path) -> None:
    (worker,) = running.hosts("worker")
    page.goto(running.flower_url)
    row = page.get_by_role("row").filter(has_text=f"celery@{worker}")
    expect(row).to_be_visible()
    expect(row).to_contain_text("Online")
    see(page, tmp_path, "flower-workers")


def test_flower_shows_a_task_and_all_about_it(running: Stack, page: Page, tmp_path: Path, finished_task: str) -> None:
    page.goto(f"{running.flower_url}/tasks")
    row = page.get_by_role("row").filter(has_text=finished_task)
    expect(row).to_contain_text("proof.work")
    expect(row).to_contain_text("SUCCESS")
    see(page, tmp_path, "flower-tasks")
    row.get_by_role("link", name=finished_task).click()
    expect(page).to_have_url(re.compile(f"/task/{finished_task}$"))
    for text in ("proof.work", "SUCCESS", "finished"):
        expect(page.get_by_text(text).first).to_be_visible()
    see(page, tmp_path, "flower-task")


@pytest.mark.parametrize("user", [None, ("admin", "wrong")])
@pytest.mark.parametrize("path", ["/", "/tasks", "/api/tasks", "/api/workers"])
def test_flower_lets_nobody_in_without_the_password(running: Stack, user: tuple[str, str] | None, path: str) -> None:
    assert httpx2.get(f"{running.flower_url}{path}", auth=user).status_code == 401


def test_flower_remembers_after_a_restart(running: Stack, finished_task: str) -> None:
    running.compose("restart", "flower")
    running.wait_until_healthy()
    answer = httpx2.get(f"{running.flower_url}/api/task/info/{finished_task}", auth=FLOWER_USER)
    assert answer.json()["state"] == "SUCCESS"


def test_the_docs_show_every_operation(running: Stack, page: Page, tmp_path: Path) -> None:
    page.goto(str(running.api.base_url.join("/docs")))
    for path, operations in running.api.get("/openapi.json").json()["paths"].items():
        expect(page.locator(f".opblock [data-path='{path}']")).to_have_count(len(operations))
    queue_it = page.locator("#operations-tasks-queue_proof_work")
    queue_it.locator("button.opblock-summary-control").click()
    queue_it.get_by_role("button", name="Try it out").click()
    queue_it.locator("textarea").fill(f'{{"key": "{uuid4()}"}}')
    queue_it.get_by_role("button", name="Execute").click()
    expect(queue_it.locator(".live-responses-table td.response-col_status:not(.col_header)")).to_contain_text("202")
    see(page, tmp_path, "docs")
