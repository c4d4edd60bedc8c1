"""The Celery app, its schedule, and `with_db_init`."""

import asyncio
import fnmatch
import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from celery.schedules import maybe_schedule
from kombu.serialization import prepare_accept_content
from pydantic import ValidationError
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.pool import Pool

import app.tasks  # noqa: F401 (registers every task)
from app.core.celery import celery_app, with_db_init
from app.core.config.celery import CelerySettings
from app.core.database import get_db
from app.core.task_base import BaseTask
from app.models.users import User

TASKS = {name: task for name, task in celery_app.tasks.items() if not name.startswith("celery.")}


@pytest.mark.parametrize("name", celery_app.conf.beat_schedule)
def test_an_entry_of_the_schedule_fits_a_task(name: str) -> None:
    entry = celery_app.conf.beat_schedule[name]
    task = TASKS[entry["task"]]
    assert isinstance(task, BaseTask)
    task.arguments.bind(entry.get("args", ()), entry.get("kwargs", {}))
    maybe_schedule(entry["schedule"], app=celery_app)


@pytest.mark.parametrize("pattern", celery_app.conf.task_routes)
def test_a_route_leads_a_task_to_a_queue(pattern: str) -> None:
    route = celery_app.conf.task_routes[pattern]
    routes = [celery_app.amqp.router.lookup_route(name) for name in fnmatch.filter(TASKS, pattern)]
    assert route in routes, "none of its tasks takes it: patterns are looked at in their order, and names before them"
    assert route.get("queue", celery_app.conf.task_default_queue) in celery_app.amqp.queues


def test_each_task_is_ours_and_can_check_its_arguments() -> None:
    for task in TASKS.values():
        assert isinstance(task, BaseTask)
        assert task.__doc__, task.name
        assert not {"self", "session"} & set(task.arguments.model.model_fields)


def test_messages_are_json_and_pickle_is_refused() -> None:
    assert "application/x-python-serialize" not in (prepare_accept_content(celery_app.conf.accept_content) or ())
    assert celery_app.conf.task_serializer == celery_app.conf.result_serializer == "json"


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("CELERY_BROKER_URL", "broker", "is no broker address"),
        ("CELERY_RESULT_BACKEND", "amqp://broker", "is no Redis address"),
        ("CELERY_TIMEZONE", "Mars/Olympus", "is no time zone"),
        ("CELERY_TASK_SOFT_TIME_LIMIT", "9999", "must be below"),
        ("CELERY_QUEUE_DEADLINE", "0", "greater than 0"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, told: str
) -> None:
    monkeypatch.setenv(setting, value)
    with pytest.raises(ValidationError, match=told):
        CelerySettings()


@pytest.fixture
def connections(database: None, closed_worker_loop: object) -> Iterator[list[object]]:
    """Those that are in use: checked out of a pool and not given back."""
    used: list[object] = []

    def add(connection: object, *_: object) -> None:
        used.append(connection)

    def remove(connection: object, *_: object) -> None:
        used.remove(connection)

    event.listen(Pool, "checkout", add)
    event.listen(Pool, "checkin", remove)
    yield used
    event.remove(Pool, "checkout", add)
    event.remove(Pool, "checkin", remove)


@with_db_init
async def count(*, session: AsyncSession) -> int:
    """How many users there are."""
    return await session.scalar(select(func.count()).select_from(User)) or 0


@with_db_init
async def add(email: str, *, session: AsyncSession) -> int:
    async with session.begin():
        session.add(user := User(email=email, name="Ada"))
    return user.id


def test_an_async_task_is_given_a_session_that_is_closed_after_it(connections: list[object]) -> None:
    seen: list[int] = []

    @with_db_init
    async def task(*, session: AsyncSession) -> None:
        await session.scalar(select(func.count()).select_from(User))
        seen.append(len(connections))

    task()
    assert seen == [1]
    assert connections == []


def test_what_an_async_task_commits_stays(connections: list[object]) -> None:
    assert add("ada@example.org") > 0
    assert count() == 1


def test_what_a_task_did_not_commit_is_rolled_back(connections: list[object]) -> None:
    @with_db_init
    async def task(*, fail: bool, session: AsyncSession) -> None:
        session.add(User(email="ada@example.org", name="Ada"))
        await session.flush()
        if fail:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        task(fail=True)
    task(fail=False)
    assert count() == 0
    assert connections == []


def test_a_task_without_a_session_runs_on_the_same_loop(connections: list[object]) -> None:
    @with_db_init
    async def loop_of() -> int:
        return id(asyncio.get_running_loop())

    @with_db_init
    async def loop_with_session(*, session: AsyncSession) -> int:
        return id(asyncio.get_running_loop())

    assert loop_of() == loop_with_session() == loop_of()


def test_a_plain_task_may_run_a_loop_of_its_own(connections: list[object]) -> None:
    @with_db_init
    def task(minimum: int) -> int:
        async def work() -> int:
            async for db in get_db():
                return await db.scalar(select(func.count()).select_from(User).where(User.id >= minimum)) or 0
            return -1

        return asyncio.run(work())

    add("ada@example.org")
    assert task(0) == 1
    assert connections == []


def test_a_plain_task_without_a_loop_runs_where_it_is_called(connections: list[object]) -> None:
    @with_db_init
    def task(number: int) -> tuple[int, threading.Thread]:
        return number + 1, threading.current_thread()

    assert task(1) == (2, threading.current_thread())


async def test_all_forms_can_be_called_from_a_running_loop(connections: list[object]) -> None:
    @with_db_init
    def plain() -> int:
        async def work() -> int:
            async for db in get_db():
                return await db.scalar(select(func.count()).select_from(User)) or 0
            return -1

        return asyncio.run(work())

    @with_db_init
    def neither() -> int:
        return 7

    assert (count(), plain(), neither()) == (0, 0, 7)


def test_many_threads_share_one_loop_and_its_pool(connections: list[object]) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, [f"user{number}@example.org" for number in range(24)]))
    assert count() == 24
    assert connections == []


def test_a_plain_task_cannot_ask_for_a_session() -> None:
    def task(*, session: AsyncSession) -> None: ...

    with pytest.raises(TypeError, match="only an `async def` task can ask for a session"):
        with_db_init(task)


def test_a_task_called_on_the_worker_loop_is_refused(connections: list[object]) -> None:
    @with_db_init
    async def outer() -> int:
        return count()

    with pytest.raises(RuntimeError, match="await the service instead of calling a task"):
        outer()
    assert count() == 0


def test_callers_see_every_parameter_but_the_session() -> None:
    assert list(inspect.signature(add).parameters) == ["email"]
    assert count.__doc__ == "How many users there are."


def test_a_task_finds_its_own_request_on_the_worker_loop(connections: list[object]) -> None:
    @celery_app.task(name="test.own_request", bind=True, shared=False)
    @with_db_init
    async def own_request(self: BaseTask[..., Any]) -> str:
        await asyncio.sleep(0)
        return str(self.request.id)

    try:
        celery_app.tasks["test.own_request"].push_request(id="0198c7a4")
        assert own_request() == "0198c7a4"
    finally:
        celery_app.tasks["test.own_request"].pop_request()
        del celery_app.tasks["test.own_request"]
