"""The names under which Redis keeps what is known of tasks, beside those that Celery chooses itself."""

WORKERS = "workers"
"""Sorted set in the results database: worker name, by the time of its last heartbeat."""
LAST_RUNS = "schedule:last-runs"
"""Hash in the results database: entry of the schedule, the time at which beat last queued it."""


def record_key(task_id: str) -> str:
    """Hash in the broker's database, written together with the message: the task was queued, and when."""
    return f"task:{task_id}"


def cancelled_key(task_id: str) -> str:
    """In the results database: present once somebody has cancelled the task."""
    return f"task-cancelled:{task_id}"


def result_key(task_id: str) -> str:
    """Celery's own, in the results database."""
    return f"celery-task-meta-{task_id}"
