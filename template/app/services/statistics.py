"""Figures about the users, counted in the database, and kept in the cache for a while."""

from datetime import UTC, datetime, timedelta

import structlog
from pydantic import ValidationError
from redis.exceptions import RedisError
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.redis import cache
from app.models.users import User
from app.schemas.statistics import Statistics

logger = structlog.stdlib.get_logger(__name__)

CACHE_KEY = "statistics"
CACHE_SECONDS = 30


async def count(session: AsyncSession, at: datetime) -> Statistics:
    """The figures as they stand in the database at that moment."""
    row = await session.execute(
        select(
            func.count(),
            func.count().filter(User.last_activity > at - timedelta(days=1)),
            func.count().filter(User.last_activity > at - timedelta(days=7)),
        ).select_from(User)
    )
    users, today, week = row.one()
    return Statistics(users=users, active_today=today, active_this_week=week, counted_at=at)


async def current(session: AsyncSession) -> Statistics:
    """The figures, at most CACHE_SECONDS old. A cache that is away costs a query, not an error."""
    client = cache.get()
    try:
        if cached := await client.get(CACHE_KEY):
            return Statistics.model_validate_json(cached)
    except ValidationError as error:  # kept there by another version of this service
        logger.warning("the cache holds other figures", error=repr(error))
    except RedisError as error:
        logger.warning("the cache is away", error=repr(error))
        return await count(session, datetime.now(UTC))
    figures = await count(session, datetime.now(UTC))
    try:
        await client.set(CACHE_KEY, figures.model_dump_json(), ex=CACHE_SECONDS)
    except RedisError as error:
        logger.warning("the cache is away", error=repr(error))
    return figures
