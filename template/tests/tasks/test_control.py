"""Orders counted, held, given up, exported and packed: the tasks called as functions."""

import asyncio
import csv
import gzip
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from redis import Redis

from app.core import stored_files
from app.core.celery import celery_app
from app.core.database import open_session
from app.core.single_run import AlreadyRunningError, single_run
from app.core.task_arguments import ArgumentsError
from app.core.task_base import BaseTask
from app.models.orders import Order
from app.models.users import User
from app.services.errors import NotFoundError
from app.tasks import control
from app.tasks.control import (
    count_orders,
    export_orders,
    give_up_order,
    give_up_overdue_orders,
    hold_order,
    pack_exports,
    sum_orders,
)

pytestmark = pytest.mark.usefixtures("redis_server")


@pytest.fixture
def user_id() -> int:
    async def add() -> int:
        async with open_session() as session, session.begin():
            session.add(user := User(email="ada@example.org", name="Ada"))
        return user.id

    return asyncio.run(add())


@pytest.fixture
def exports() -> Iterator[Path]:
    folder = stored_files.folder("order-archive")
    yield folder
    stored_files.remove(folder)


def add_orders(user_id: int, count: int, status: str = "open", days_ago: int = 0) -> None:
    async def add() -> None:
        at = datetime.now(UTC) - timedelta(days=days_ago)
        order: dict[str, Any] = {"user_id": user_id, "total_cents": 100, "currency": "EUR", "status": status}
        async with open_session() as session, session.begin():
            session.add_all(Order(reference=f"{status}-{n}", ordered_at=at, **order) for n in range(count))

    asyncio.run(add())


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is to be queued after the commit."""
    queued: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(control, "enqueue_after_commit", lambda _, task, **rest: queued.append((task.name, rest)))
    return queued


def test_orders_are_counted_and_summed(user_id: int) -> None:
    assert (count_orders(), sum_orders(user_id=user_id)) == (0, {})
    add_orders(user_id, 2)
    add_orders(user_id, 3, "paid")
    assert (count_orders(), count_orders(status="paid")) == (2, 3)
    assert sum_orders(user_id=user_id) == {"EUR": 300}


def test_an_order_is_held_and_its_end_is_queued_with_it(user_id: int, queued: list[Any]) -> None:
    order: dict[str, Any] = {"reference": "A-1", "user_id": user_id, "total_cents": 4900, "hold_seconds": 60}
    assert hold_order(**order)
    assert queued == [("control.give_up_order", {"task_countdown": 60, "reference": "A-1"})]
    assert not hold_order(**order), "its worker was lost, and it runs again"
    assert len(queued) == 1
    assert (give_up_order(reference="A-1"), give_up_order(reference="A-1")) == (True, False)


def test_nothing_is_queued_for_an_order_that_cannot_be_held(queued: list[Any]) -> None:
    with pytest.raises(NotFoundError):
        hold_order(reference="A-1", user_id=7, total_cents=4900)
    assert queued == []


@pytest.mark.parametrize(
    ("task", "arguments", "told"),
    [
        (count_orders, {"status": "lost"}, "status"),
        (sum_orders, {"user_id": 0}, "user_id"),
        (hold_order, {"reference": "../A", "user_id": 1, "total_cents": 1}, "reference"),
        (hold_order, {"reference": "A", "user_id": 1, "total_cents": -1}, "total_cents"),
        (hold_order, {"reference": "A", "user_id": 1, "total_cents": 1, "currency": "euro"}, "currency"),
        (give_up_overdue_orders, {"days": 0}, "days"),
        (export_orders, {"pause": 60}, "pause"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(task: BaseTask[..., Any], arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ArgumentsError, match=told):
        task(**arguments)


def test_overdue_orders_are_given_up_batch_by_batch(user_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "BATCH", 2)
    add_orders(user_id, 5, days_ago=20)
    assert give_up_overdue_orders(days=21) == {"orders": 0, "skipped": False}
    assert give_up_overdue_orders(days=14) == {"orders": 5, "skipped": False}
    assert give_up_overdue_orders(days=14) == {"orders": 0, "skipped": False}
    assert count_orders(status="unpaid") == 5


def test_a_second_run_is_skipped_and_says_so(user_id: int) -> None:
    add_orders(user_id, 1, days_ago=20)
    with single_run(give_up_overdue_orders):
        assert give_up_overdue_orders() == {"orders": 0, "skipped": True}
    assert count_orders() == 1


def test_a_run_that_has_lost_its_lock_leaves_the_rest_to_the_next_one(
    user_id: int, results: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "BATCH", 2)
    monkeypatch.setattr("app.core.single_run.RENEW_SECONDS", 0.05)
    add_orders(user_id, 20, days_ago=20)
    forget = results.flushdb  # Redis was started anew

    async def give_up(*_: object, **__: object) -> int:
        forget()
        return 2

    monkeypatch.setattr("app.services.order_keeping.give_up_overdue", give_up)
    assert give_up_overdue_orders(pause=0.5)["orders"] == 2


def test_an_export_has_all_orders(user_id: int, exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "BATCH", 2)
    add_orders(user_id, 5)
    export = export_orders()
    with (exports / export["file"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert export["orders"] == len(rows) == 5
    assert [row["reference"] for row in rows] == [f"open-{number}" for number in range(5)]
    assert datetime.fromisoformat(rows[0]["ordered_at"]).tzinfo


def test_an_export_of_nothing_has_its_heading(exports: Path) -> None:
    export = export_orders()
    assert export["orders"] == 0
    assert (exports / export["file"]).read_text().startswith("id,reference,")


def test_nothing_is_left_of_an_export_that_was_cancelled(
    user_id: int, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_orders(user_id, 1)
    monkeypatch.setattr(BaseTask, "is_aborted", lambda _: True)
    with pytest.raises(Ignore):
        export_orders()
    assert list(exports.iterdir()) == []


def test_exports_are_packed_and_what_is_packed_can_be_unpacked(exports: Path) -> None:
    for name in ("a", "b"):
        (exports / f"{name}.csv").write_text(f"id\n{name}\n")
    assert pack_exports() == {"packed": 2, "left": 0}
    assert sorted(path.name for path in exports.iterdir()) == ["a.csv.gz", "b.csv.gz"]
    assert gzip.decompress((exports / "b.csv.gz").read_bytes()) == b"id\nb\n"
    assert pack_exports() == {"packed": 0, "left": 0}


def test_packing_goes_on_where_its_worker_was_lost(exports: Path) -> None:
    (exports / "a.csv").write_text("id\n")
    (exports / "a.csv.gz").write_text("packed, and its original not yet removed")
    assert pack_exports() == {"packed": 1, "left": 0}
    assert [path.name for path in exports.iterdir()] == ["a.csv.gz"]
    assert gzip.decompress((exports / "a.csv.gz").read_bytes()) == b"id\n"


def test_packing_that_runs_out_of_time_leaves_the_rest_whole(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (exports / f"{name}.csv").write_text(name)
    copy = shutil.copyfileobj

    def copy_until_b(source: Any, target: Any) -> None:
        copy(source, target)
        if source.name.endswith("b.csv"):
            raise SoftTimeLimitExceeded

    monkeypatch.setattr(shutil, "copyfileobj", copy_until_b)
    assert pack_exports() == {"packed": 1, "left": 2}
    assert sorted(path.name for path in exports.iterdir()) == ["a.csv.gz", "b.csv", "c.csv"]


def test_a_second_packing_is_kept_out(exports: Path) -> None:
    (exports / "a.csv").write_text("id\n")
    with single_run(pack_exports), pytest.raises(AlreadyRunningError):
        pack_exports()
    assert [path.name for path in exports.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("name", "queue"), [("count_orders", "high_priority"), ("export_orders", "low_priority"), ("sum_orders", "default")]
)
def test_a_task_has_the_queue_that_its_route_says(name: str, queue: str) -> None:
    assert celery_app.amqp.router.route({}, f"control.{name}")["queue"].name == queue
