"""A rendered service with servers, and the processes that tests start of it."""

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import httpx2
import psutil
from celery import Celery
from celery.result import AsyncResult
from rendering import environment, run
from servers import HOST, PostgresServer, end, free_port, wait_until

POOL_SIZE = 2
KEY = "key of tests"
AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
COMPLAINTS_OF_LOOPS = (
    "attached to a different loop",
    "Event loop is closed",
    "another operation is in progress",
    "never awaited",
    "never retrieved",
    "garbage collector",
    "was destroyed but it is pending",
)


@dataclass(frozen=True)
class Service:
    """A service, set to servers of its own; `database` is the name of the one that it uses."""

    folder: Path
    postgres: PostgresServer
    database: str
    settings: Mapping[str, str]

    def set(self, **settings: str) -> "Service":
        return replace(self, settings={**self.settings, **settings})

    def run(self, *command: str) -> str:
        return run(self.folder, *command, **self.settings, PYTHONPATH=str(self.folder))

    def worker(self, *options: str) -> "Worker":
        return Worker(self, "celery", "-A", "app.core.celery:celery_app", "worker", *options)

    def api(self) -> "Api":
        return Api(self)

    @contextmanager
    def queue(self) -> Iterator[Celery[Any]]:
        """A Celery app as another service would have it: it knows the broker, and no task."""
        queue: Celery[Any] = Celery(
            broker=self.settings["CELERY_BROKER_URL"],
            backend=self.settings["CELERY_RESULT_BACKEND"],
            set_as_current=False,
        )
        queue.conf.task_default_queue = "default"
        with queue:
            yield queue
        results: Any = queue.backend
        results.client.connection_pool.disconnect()  # Celery leaves its connections to the garbage collector

    def written(self) -> list[str]:
        """The keys under which tasks have committed, in the order in which they wrote."""
        return self.postgres.query("SELECT email FROM users ORDER BY id", self.database)

    def starts(self) -> Counter[str]:
        """By key, how many times the task was started that notes each of its starts."""
        return Counter(row.partition(", start ")[0] for row in self.written() if ", start " in row)

    def connections(self, state: str = "%") -> int:
        return self.postgres.connections(self.database, state)

    def connections_ever(self) -> int:
        return self.postgres.connections_ever(self.database)

    def transactions(self) -> int:
        return self.postgres.transactions(self.database)


class Process:
    """One of the service's programs, its log in a file."""

    def __init__(self, service: Service, *command: str) -> None:
        self.service = service
        self._command = command
        self._log = service.folder.with_name(f"{command[0]}-{time.monotonic_ns()}.log")

    def __enter__(self) -> Self:
        env = environment(self.service.folder, **self.service.settings)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command, cwd=self.service.folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            wait_until(lambda: self.is_ready() or self.process.poll() is not None, 30, self.log)
            assert self.process.poll() is None, self.log()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            children = psutil.Process(self.process.pid).children(recursive=True)
            end(self.process)
            for child in children:
                if child.is_running():
                    child.kill()

    def is_ready(self) -> bool:
        raise NotImplementedError

    def log(self) -> str:
        return self._log.read_text()

    def complaints_of_loops(self) -> list[str]:
        return [line for line in self.log().splitlines() if any(complaint in line for complaint in COMPLAINTS_OF_LOOPS)]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Its log's entries of that name."""
        entries = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [entry for entry in entries if entry["event"] == name]


class Worker(Process):
    def is_ready(self) -> bool:
        return " ready." in self.log()

    def children(self) -> list[int]:
        """The process ids of its pool."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def kill(self) -> None:
        """All of its processes, none of which can say a word."""
        processes = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for process in processes:
            process.kill()
        self.process.wait()
        psutil.wait_procs(processes)

    def stop(self) -> int:
        """Warm shutdown; its exit status."""
        return end(self.process, signal.SIGTERM)


class Api(Process):
    def __init__(self, service: Service) -> None:
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self.client = httpx2.Client(headers=AUTHORIZED)
        super().__init__(service, "uvicorn", "app.main:app", "--port", str(port))

    def __exit__(self, *_: object) -> None:
        self.client.close()
        super().__exit__()

    def is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/health/live").is_success
        except httpx2.TransportError:
            return False

    def status(self, task_id: str) -> str:
        return str(self.client.get(f"{self.url}/api/v1/tasks/{task_id}").json()["status"])


def outcome(result: AsyncResult[Any], seconds: float = 30) -> str:
    """The state in which the task ended."""
    wait_until(result.ready, seconds, lambda: result.state)
    return result.state
