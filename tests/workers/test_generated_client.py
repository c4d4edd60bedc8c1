"""A client that is generated from the OpenAPI document queues each exposed task with its own types, and reads it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from rendering import run
from workers.processes import Service

KEY = "a-key-of-a-generated-client"
GENERATE = ("uv", "tool", "run", "openapi-python-client==0.29.1", "generate", "--meta", "none", "--fail-on-warning")
WITH_WHAT_IT_NEEDS = (
    "uv",
    "run",
    "--no-project",
    *("--with=attrs", "--with=httpx", "--with=mypy", "--with=python-dateutil"),
)
PROGRAM = """
import sys
from datetime import date
from uuid import UUID

from generated.api.tasks import queue_reports_activity, queue_system_check, queue_users_update_stats, read_task
from generated.client import AuthenticatedClient
from generated.models import (
    DayFigures,
    Problem,
    ReportsActivityArguments,
    ReportsActivityQueued,
    ReportsActivityTask,
    SystemCheckQueued,
    SystemCheckTask,
    TaskOut,
    UsersUpdateStatsArguments,
    UsersUpdateStatsQueued,
    UsersUpdateStatsTask,
)

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2], raise_on_unexpected_status=True)


def read(task_id: UUID) -> ReportsActivityTask | SystemCheckTask | UsersUpdateStatsTask | TaskOut:
    while True:
        task = read_task.sync(str(task_id), client=client, wait=0.5)
        assert task is not None and not isinstance(task, Problem), task
        if task.finished_at:
            return task


activity = queue_reports_activity.sync(client=client, body=ReportsActivityArguments(days=3))
assert isinstance(activity, ReportsActivityQueued), activity
report = read(activity.task_id)
assert isinstance(report, ReportsActivityTask) and report.result is not None, report
counts: dict[str, int] = report.result.additional_properties
assert list(counts.values()) == [0, 0, 0], counts

check = queue_system_check.sync(client=client)
assert isinstance(check, SystemCheckQueued), check
checked = read(check.task_id)
assert isinstance(checked, SystemCheckTask) and checked.result is not None, checked
names: list[str] = checked.result
assert names == ["database", "redis"], names

day = date(2026, 5, 4)
update = queue_users_update_stats.sync(client=client, body=UsersUpdateStatsArguments(day=day), idempotency_key="once")
assert isinstance(update, UsersUpdateStatsQueued), update
again = queue_users_update_stats.sync(client=client, body=UsersUpdateStatsArguments(day=day), idempotency_key="once")
assert again == update, again
updated = read(update.task_id)
assert isinstance(updated, UsersUpdateStatsTask) and isinstance(updated.result, DayFigures), updated
users: int = updated.result.users
assert (updated.result.day, users) == (day.isoformat(), 0), updated

refused = queue_reports_activity.sync(client=client, body=ReportsActivityArguments(days=0))
assert isinstance(refused, Problem) and refused.errors, refused
assert [error.field for error in refused.errors] == ["body.days"], refused
"""


@pytest.mark.slow
def test_a_generated_client_queues_and_reads_each_exposed_task(
    new_service: Callable[[], Service], celery_service: Path, tmp_path: Path
) -> None:
    service = replace(new_service(), folder=celery_service).set(  # without the tasks that the other tests add
        TASK_API_KEYS=f"shop:{sha256(KEY.encode()).hexdigest()}"
    )
    with service.worker("-c", "1"), service.api() as api:
        document = httpx2.get(f"{api.url}/openapi.json").json()
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        (tmp_path / "program.py").write_text(PROGRAM)
        run(tmp_path, *GENERATE, "--path", "openapi.json", "--output-path", "generated")
        run(tmp_path, *WITH_WHAT_IT_NEEDS, "mypy", "--strict", "--follow-imports=silent", "program.py")
        run(tmp_path, *WITH_WHAT_IT_NEEDS, "python", "program.py", api.url, KEY)

    operations = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert queued(PROGRAM) == {name for name in operations if name.startswith("queue_")}


@pytest.mark.slow
def test_a_client_is_generated_of_each_task_of_the_cookbook(whole_service: Path, tmp_path: Path) -> None:
    write = "import json; from app.main import app; print(json.dumps(app.openapi()))"
    document = run(whole_service, "python", "-c", write, APP_ENV="development").splitlines()[-1]
    (tmp_path / "openapi.json").write_text(document)
    generate = [word for word in GENERATE if word != "--fail-on-warning"]  # it knows no bodies of text/csv and image/*
    said = run(tmp_path, *generate, "--path", "openapi.json", "--output-path", "generated")
    assert "Unable to process schema" not in said
    generated = (tmp_path / "generated" / "api" / "tasks").glob("queue_*.py")
    assert {path.stem for path in generated} == queued(document) > queued(PROGRAM)


def queued(text: str) -> set[str]:
    """The operations that queue tasks, by their names."""
    return set(re.findall(r"\bqueue_\w+", text))
