"""A task that runs until it is stopped."""

import asyncio
from pathlib import Path

from app.core.celery import celery_app, with_db_init


@celery_app.task(name="test.wait")
@with_db_init
async def wait(*, started: str) -> None:
    """Leave a file when it starts, and another when it is stopped."""
    await asyncio.to_thread(Path(started).touch)
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.to_thread(Path(f"{started}.stopped").touch)
