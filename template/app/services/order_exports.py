"""All orders in one file, which is read by its own link."""

import asyncio
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import stored_files
from app.models.orders import Order
from app.services.errors import NotFoundError

COLUMNS = ("reference", "total_cents", "currency", "status")
BATCH = 1000
MOST_REFERENCES = 1000


async def references(session: AsyncSession) -> list[str]:
    """By which the shop knows all its orders; ValueError if they are too many to be held in one list."""
    if (await session.scalar(select(func.count()).select_from(Order)) or 0) > MOST_REFERENCES:
        raise ValueError(f"There are more than {MOST_REFERENCES} orders; take results.by_reference.")
    return list(await session.scalars(select(Order.reference).order_by(Order.id)))


async def write(session: AsyncSession, export_id: UUID) -> int:
    """Write them as CSV, whole or not at all; returns how many they are."""
    rows = 0
    with stored_files.written_whole(_path(export_id)) as part:
        await asyncio.to_thread(_write, part, "w", [COLUMNS])
        orders = select(*(getattr(Order, column) for column in COLUMNS)).order_by(Order.id)
        async for batch in (await session.stream(orders)).partitions(BATCH):
            await asyncio.to_thread(_write, part, "a", batch)
            rows += len(batch)
    return rows


def find(export_id: UUID) -> Path:
    path = _path(export_id)
    if not path.exists():
        raise NotFoundError(f"There is no export {export_id}.")
    return path


def link(export_id: UUID) -> str:
    return f"/api/v1/order-exports/{export_id}"


def _path(export_id: UUID) -> Path:
    return stored_files.folder("exports") / f"{export_id}.csv"


def _write(path: Path, mode: str, rows: Sequence[Sequence[Any]]) -> None:
    with path.open(mode, encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
