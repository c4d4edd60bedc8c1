"""The names under which Redis keeps what is known of tasks, beside those that Celery chooses itself."""

RECORD_SECONDS = 7 * 24 * 3600
"""How long a task is remembered from the moment it was queued, or tried again."""
WORKERS = "workers"
"""Sorted set in the results database: worker name, by the time of its last heartbeat."""
BEATS = "beats"
"""Sorted set in the results database: host of a beat, by the time of its last sign of life."""
ALIVE_SECONDS = 15.0
"""A worker or a beat that has not been heard of for so long counts as gone; it is heard every 2 seconds."""
BEAT_LOCK = "beat:at-work"
"""In the results database, while a beat is at work."""
FIRST_SEEN = "schedule:first-seen"
"""Hash in the results database: entry of the schedule, the time at which a beat first saw it."""
LAST_RUNS = "schedule:last-runs"
"""Hash in the results database: entry of the schedule, the time at which beat last queued it."""


def record_key(task_id: str) -> str:
    """Hash in the broker's database, or in that of the results where the broker is not Redis.

    Written together with the message: `name`, `queued_at`, and what task_delivery.py keeps. Later `cancelled`, and
    under `starts:<retries>` how many times a worker has started it.
    """
    return f"task:{task_id}"


def result_key(task_id: str) -> str:
    """Celery's own, in the results database."""
    return f"celery-task-meta-{task_id}"
