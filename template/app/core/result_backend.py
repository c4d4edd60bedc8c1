"""Celery's Redis result backend, in which what has ended stays as it ended; it also keeps when a task started."""

from typing import Any

from celery import Celery, states
from celery.backends.redis import RedisBackend
from redis import Redis

STORE = f"""
-- KEYS: the task's key; ARGV: its new state as JSON, seconds to keep it
local stored = redis.call('GET', KEYS[1])
if stored then
  local status = cjson.decode(stored).status
  for _, ended in ipairs({{{", ".join(repr(state) for state in sorted(states.READY_STATES))}}}) do
    if status == ended then return 0 end
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
"""


def results_client(app: Celery[Any]) -> Redis:
    """Celery's own (blocking) client for the results database, for use in workers and beat."""
    client: Redis = app.backend.client  # type: ignore[attr-defined]  # every backend of ours is a ResultBackend
    return client


class ResultBackend(RedisBackend):
    app: Celery[Any]

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to nothing while queueing: the API would hold a channel for each task that it ever queued.

        `AsyncResult.get` subscribes by itself.
        """

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **_: Any
    ) -> Any:
        """In one step, where Celery reads first and then writes: a late worker's word must not replace the last one."""
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta |= {"task_id": task_id}
        self.ensure(self._store, (self.get_key_for_task(task_id), self.encode(meta)))
        return result

    def _store(self, key: str, value: str) -> None:
        self.client.register_script(STORE)(keys=[key], args=[value, self.app.conf.result_expires])

    def _get_result_meta(self, result: Any, state: str, traceback: Any, request: Any, **options: Any) -> dict[str, Any]:
        meta: dict[str, Any] = super()._get_result_meta(  # type: ignore[misc]  # not in celery-types
            result, state, traceback, request, **options
        )
        started_at = getattr(request, "started_at", None)
        meta["started_at"] = started_at and started_at.isoformat()
        meta["progress"] = getattr(request, "progress", None)
        return meta
