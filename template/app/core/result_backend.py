"""Celery's Redis result backend, in which what has ended stays as it ended; it also keeps when a task started."""

from typing import Any

from celery import Celery, states
from celery.backends.redis import RedisBackend, SentinelBackend
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from redis.sentinel import SentinelManagedConnection

from app.core.task_keys import RECORD_SECONDS
from app.core.task_record import note_end, note_failure
from app.core.worker_redis import OUTAGES

ManagedConnection: Any = SentinelManagedConnection  # untyped

STORE = """
-- KEYS: the task's key; ARGV: its new status, that and more as JSON, seconds to keep it, fields of which nothing new is
-- known; returns the status that stands
local stored = redis.call('GET', KEYS[1])
local read, meta = pcall(cjson.decode, stored or '{}')
local status = read and meta.status
if status == 'SUCCESS' or status == 'FAILURE' or status == 'REVOKED' then return status end
-- which of two states is the newer one, a clock could not say: each worker has its own
local version = string.format('%d', (read and tonumber(meta.version) or 0) + 1)
local more = ', "version": ' .. version
for i = 4, #ARGV do -- of two fields with the same name readers take the last
  local known = read and meta[ARGV[i]]
  if known then more = more .. ', "' .. ARGV[i] .. '": ' .. cjson.encode(known) end
end
local state = string.sub(ARGV[2], 1, -2) .. more .. '}'
redis.call('SET', KEYS[1], state, 'EX', ARGV[3])
redis.call('PUBLISH', KEYS[1], state)
return ARGV[1]
"""


class ResultBackend(RedisBackend):
    """It waits for Redis, for as long as a task's time limit lets it: an outage must not make a failure of a success.

    Celery's own retries leave out what follows the end of a chord's part, and the chord would never come to its body.
    """

    app: Celery[Any]
    connparams: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connparams["retry"] = Retry(ExponentialBackoff(cap=1, base=0.1), retries=-1, supported_errors=OUTAGES)

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to nothing while queueing: the API would hold a channel for each task that it ever queued.

        `AsyncResult.get` subscribes by itself.
        """

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = states.SUCCESS
    ) -> None:
        """Of a task that can be queued over REST and whose result is ignored, the end is told all the same."""
        if request and not request.is_eager and (not store_result or request.ignore_result):
            task = self.app.tasks.get(request.task)
            if getattr(task, "exposed", False):
                self.store_result(task_id, None, state, request=request)
        super().mark_as_done(task_id, result, request, store_result, state)

    def forget_claim(self, group_id: str) -> None:
        """Let a part queue the body of its chord although another, which may be lost, has said that it would.

        Celery lets such a claim stand for as long as queueing might take, and nobody asks later. The body has one id:
        queued twice, it runs once.
        """
        claim = self.get_key_for_group(group_id, ".c")
        if self.client.get(claim) != b"done":
            self.client.delete(claim)

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **_: Any
    ) -> Any:
        """In one step, where Celery reads first and then writes: a late worker's word must not replace the last one."""
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta |= {"task_id": task_id}
        kept = RECORD_SECONDS if state == states.FAILURE else self.app.conf.result_expires
        # of a task that took the id over, or of one that failed with what was to come before it
        unknown = [field for field in ("started_at", "progress") if meta[field] is None]
        stored = [state, self.encode(meta), int(kept), *unknown]
        stands = self.client.eval(STORE, 1, self.get_key_for_task(task_id), *stored)
        if state == states.FAILURE and stands == b"FAILURE":
            note_failure(task_id, request)
        if state in states.READY_STATES:
            note_end(task_id)
        return result

    def _get_result_meta(self, result: Any, state: str, traceback: Any, request: Any, **options: Any) -> dict[str, Any]:
        meta: dict[str, Any] = super()._get_result_meta(  # type: ignore[misc]  # not in celery-types
            result, state, traceback, request, **options
        )
        started_at = getattr(request, "started_at", None)
        meta["started_at"] = started_at and started_at.isoformat()
        reports = getattr(request, "progress_reports", None)
        meta["progress"] = reports and reports.newest
        return meta


class MasterConnection(ManagedConnection):  # type: ignore[misc]
    def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
        """Ask for the master at each try, which redis-py does not: https://github.com/redis/redis-py/issues/3874"""
        if not self._sock:
            self.connect()
        super().send_packed_command(*args, **kwargs)


class SentinelResultBackend(ResultBackend, SentinelBackend):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connparams["connection_class"] = MasterConnection
