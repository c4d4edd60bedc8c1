"""The scheduler of the beat process, which notes what it queued and when."""

from typing import Any

from celery.beat import PersistentScheduler, ScheduleEntry

from app.core.result_backend import results_client
from app.core.task_keys import LAST_RUNS


class Scheduler(PersistentScheduler):
    def apply_async(self, entry: ScheduleEntry, *args: Any, **kwargs: Any) -> Any:
        result = super().apply_async(entry, *args, **kwargs)
        results_client(self.app).hset(LAST_RUNS, entry.name, self.app.now().isoformat())
        return result
