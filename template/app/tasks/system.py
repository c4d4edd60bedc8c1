"""The service looks after itself."""

from datetime import UTC, datetime

import structlog

from app.core.celery import celery_app, with_db_init
from app.core.database import database
from app.core.redis import cache

logger = structlog.stdlib.get_logger(__name__)


@celery_app.task(name="system.heartbeat")
def heartbeat() -> str:
    """Shows that beat, broker and worker work together: the time at which it ran."""
    return datetime.now(UTC).isoformat()


@celery_app.task(
    name="system.check",
    exposed=True,
    autoretry_for=(Exception,),
    max_retries=5,
    retry_backoff=1,
    retry_backoff_max=600,
    retry_jitter=True,
)
@with_db_init
async def check() -> list[str]:
    """Ask the database and the cache, as a worker sees them, whether they answer. Returns the names of those that did.

    Tried again with growing pauses until they do; after five more tries it gives up with the last error.
    """
    await database.check()
    await cache.check()
    return [database.name, cache.name]
