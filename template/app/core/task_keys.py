"""The names under which Redis keeps what is known of tasks, beside those that Celery chooses itself."""

RECORD_SECONDS = 7 * 24 * 3600
"""How long a task is remembered that is not finished, from when it was queued or tried again, and one that failed."""
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

    Written together with the message: `name`, `owner`, `queued_at`, and what task_delivery.py keeps. Later under
    `starts:<retries>` how many times a worker has started it, `ended`, `cancelled`, and of one that failed `failed`,
    `arguments` and `replayed_as`.
    """
    return f"task:{task_id}"


def list_key(kind: str, owner: str | None = None) -> str:
    """Sorted set beside the records: ids of an owner's tasks, or of all, that are of that kind, by time.

    "recent" are all but those of beat, "open" those whose message is not done with; "failed" and "cancelled" are those that
    ended so.
    """
    return f"tasks:{kind}:of:{owner}" if owner else f"tasks:{kind}"


def turn_key(task_id: str) -> str:
    """In the same place: which run of the task is the one that is alive, see task_turns.py."""
    return f"turn:{task_id}"


def claim_key(owner: str | None, key: str) -> str:
    """In the same place: the task that was queued with this idempotency key, and for what."""
    return f"idempotency:{owner or ''}:{key}"


def result_key(task_id: str) -> str:
    """Celery's own, in the results database."""
    return f"celery-task-meta-{task_id}"
