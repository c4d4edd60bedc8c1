"""Recipes as they are often written. cookbook.py puts this file into app/tasks/ of a rendered service."""

import csv
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.celery import celery_app, with_db_init
from app.core.config.smtp import get_smtp_settings
from app.models.orders import Order
from app.models.users import User


@celery_app.task(name="naive.import_orders", exposed=True)
@with_db_init
async def import_orders(*, file: str, session: AsyncSession) -> int:
    """The whole file in memory, and an object for each row; returns how many."""
    rows = list(csv.DictReader(Path(file).read_text().splitlines()))  # noqa: ASYNC240 (so it is often written)
    async with session.begin():
        user_ids = {user.email: user.id for user in await session.scalars(select(User))}
        for row in rows:
            session.add(
                Order(
                    reference=row["reference"],
                    user_id=user_ids[row["email"]],
                    total_cents=int(row["total_cents"]),
                    currency=row["currency"],
                    ordered_at=datetime.fromisoformat(row["ordered_at"]),
                )
            )
    return len(rows)


@celery_app.task(name="naive.announce", exposed=True)
@with_db_init
async def announce(*, subject: str, text: str, users: int, session: AsyncSession) -> int:
    """A task for each user; returns how many."""
    user_ids = list(await session.scalars(select(User.id).limit(users)))
    for user_id in user_ids:
        send.delay(user_id=user_id, subject=subject, text=text)
    return len(user_ids)


@celery_app.task(name="naive.send")
@with_db_init
async def send(*, user_id: int, subject: str, text: str, session: AsyncSession) -> None:
    """A connection for each message."""
    user = await session.get_one(User, user_id)
    settings = get_smtp_settings()
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings.sender, user.email, subject
    message.set_content(text)
    await aiosmtplib.send(message, hostname=settings.host, port=settings.port)
