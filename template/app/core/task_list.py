"""Tasks listed, newest first, a page at a time; the cost of a page does not grow with the number of tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from redis.asyncio import Redis

from app.core.task_keys import list_key, record_key, result_key
from app.core.task_state import FIELDS, Status, TaskState, read_task_state

ROUND = 200
"""Tasks that are read in one step, ..."""
MOST_ROUNDS = 5
"""... and the steps in which a page looks for those that were asked for."""

KINDS: dict[Status | None, str] = {
    "PENDING": "open",
    "STARTED": "open",
    "PROGRESS": "open",
    "RETRY": "open",
    "FAILURE": "failed",
    "REVOKED": "cancelled",
}
"""The list in which tasks of a status are found; the others are found among all."""


class Place(NamedTuple):
    """Of a task in its list: lists run from the highest to the lowest."""

    score: float
    task_id: str


@dataclass(frozen=True)
class Page:
    tasks: list[TaskState]
    next: Place | None
    """Behind which the next page begins; None where nothing follows. A page may be short and yet have a next one."""


class TaskList:
    def __init__(self, records: Redis, results: Redis) -> None:
        self._records = records
        self._results = results

    async def read(
        self, owner: str | None, *, status: Status | None, name: str | None, limit: int, after: Place | None
    ) -> Page:
        key = list_key(KINDS.get(status, "recent"), owner)
        found: list[TaskState] = []
        for _ in range(MOST_ROUNDS):
            places = await self._places(key, after)
            for place, task in zip(places, await self._states(places), strict=True):
                if len(found) == limit:
                    return Page(found, after)
                after = place
                if task and status in (None, task.status) and name in (None, task.name):
                    found.append(task)
            if len(places) < ROUND:
                return Page(found, None)
        return Page(found, after)

    async def _places(self, key: str, after: Place | None) -> list[Place]:
        highest = after.score if after else "+inf"
        # those that were looked at already have the same score as the last one of them
        seen = await self._records.zcount(key, highest, highest) if after else 0
        entries: list[Any] = await self._records.zrange(
            key, highest, "-inf", desc=True, byscore=True, offset=0, num=ROUND + seen, withscores=True
        )
        places = [Place(score, task_id) for task_id, score in entries]
        return [place for place in places if after is None or place < after][:ROUND]

    async def _states(self, places: Sequence[Place]) -> list[TaskState | None]:
        if not places:
            return []
        async with self._records.pipeline(transaction=False) as pipeline:
            for _, task_id in places:
                pipeline.hmget(record_key(task_id), FIELDS)
            records = await pipeline.execute()
        stored = await self._results.mget([result_key(task_id) for _, task_id in places])
        return [read_task_state(place.task_id, *known) for place, *known in zip(places, records, stored, strict=True)]
