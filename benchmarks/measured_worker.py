"""What benchmarks of workers share: options, a rendered service, a worker that can be counted by itself, the report."""

import argparse
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import rendering
from celery import Celery
from redis import Redis
from servers import RedisServer, end, wait_until

HERE = Path(__file__).resolve().parent
APP = "app.core.celery:celery_app"
CONCURRENCY = 2
DEADLINE = 120.0


def read_options(description: str | None, results: Path, *, rounds: int, of_each: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--tasks", type=int, default=1_000, help=f"of each {of_each} in each round")
    parser.add_argument("--write", action="store_true", help=f"save the table in {results.name}")
    return parser.parse_args()


def report(options: argparse.Namespace, results: Path, title: str, table: str) -> None:
    conditions = (
        f"Medians of {options.rounds} rounds of {options.tasks:,} tasks, one worker at work at a time, concurrency"
        f" {CONCURRENCY}; of ratios, those of each round. Python {platform.python_version()}, {os.cpu_count()} CPUs."
    )
    print(f"{table}\n\n{conditions}")
    if options.write:
        results.write_text(f"# {title}\n\n{table}\n\n{conditions}\n")


@contextmanager
def rendered_service(database: str, tasks: str) -> Iterator[Path]:
    """With a file of tasks from this folder."""
    with tempfile.TemporaryDirectory() as folder:
        service = rendering.render(Path(folder) / "service", use_celery=True, use_examples=False, database=database)
        rendering.install(service)
        shutil.copy(HERE / tasks, service / "app" / "tasks")
        yield service


class Worker:
    """On Redis databases of its own: the worker with this number has two of them."""

    def __init__(self, name: str, redis: RedisServer, number: int) -> None:
        self.name = name
        self._broker_url, self._results_url = redis.url(2 * number), redis.url(2 * number + 1)
        self.broker, self.results = Redis.from_url(self._broker_url), Redis.from_url(self._results_url)
        self._sender = Celery(broker=self._broker_url, set_as_current=False)

    @contextmanager
    def running(self, service: Path, database_url: str, app: str = APP) -> Iterator[None]:
        env = {
            "APP_ENV": "test",
            "DATABASE_URL": database_url,
            "REDIS_URL": self._results_url,
            "CELERY_BROKER_URL": self._broker_url,
            "CELERY_RESULT_BACKEND": self._results_url,
            "CELERY_WORKER_CONCURRENCY": str(CONCURRENCY),
        }
        log = service / f"{self.name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["celery", "-A", app, "worker"],
                cwd=service,
                env=rendering.environment(service, **env),
                stdout=output,
                stderr=output,
            )
        try:
            wait_until(lambda: " ready." in log.read_text(), 30, log.read_text)
            yield
        finally:
            end(process)

    def stage(self, task: str, *arguments: object) -> str:
        """Send it where no worker looks, until `run_staged`; returns its id."""
        return str(self._sender.send_task(task, arguments, queue="staged").id)

    def run_staged(self, is_done: Callable[[], bool] = lambda: True) -> float:
        """Seconds from when all messages are in the queue until the last is acknowledged, and all is done."""
        began = time.perf_counter()
        self.broker.rename("staged", "default")
        self.broker.lpush("queues:bell", 1)  # or the worker would look up to a second later
        while True:
            left = self.broker.llen("default") or self.broker.hlen("unacked")
            seconds = time.perf_counter() - began
            if not left and is_done():
                return seconds
            if seconds > DEADLINE:
                raise TimeoutError(f"{self.name}: the tasks were not done in {DEADLINE} s")
            time.sleep(0.005)
