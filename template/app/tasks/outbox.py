"""Tasks that were to be queued after a commit, and are not yet."""

import structlog

from app.core import task_outbox
from app.core.celery import celery_app, with_db_init
from app.core.database import is_away

logger = structlog.stdlib.get_logger(__name__)


@celery_app.task(name="outbox.relay")
@with_db_init
async def relay() -> int:
    """Queue what the push right after the commit has left behind; returns how many entries it has looked at."""
    try:
        return await task_outbox.relay()
    except Exception as error:
        if not is_away(error):
            raise
        logger.warning("the outbox waits", error=repr(error), cause=repr(error.__cause__))  # for the next run
        return 0
