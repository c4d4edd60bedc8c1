"""A load on an API that goes on whatever becomes of what is behind it."""

import itertools
from collections import Counter

from workers.processes import Api


class Load:
    """What the API has accepted; all else it has refused in good order."""

    def __init__(self, api: Api, seconds_of_a_task: float) -> None:
        self._api = api
        self._seconds = seconds_of_a_task
        self._keys = (f"load {number}" for number in itertools.count())
        self.accepted: dict[str, str] = {}
        """Task ids by key."""

    def queue(self, wanted: int) -> None:
        """Until so many are accepted, those before included."""
        address = f"{self._api.url}/api/v1/tasks/proof.start_and_wait"
        while len(self.accepted) < wanted:
            key = next(self._keys)
            answer = self._api.client.post(address, json={"key": key, "seconds": self._seconds}, timeout=5)
            assert answer.status_code in (202, 503), answer.text
            if answer.status_code == 202:
                self.accepted[key] = answer.json()["task_id"]

    def statuses(self) -> Counter[str]:
        return Counter(self._api.status(task) for task in self.accepted.values())
