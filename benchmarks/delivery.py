"""What leases and records cost: tasks per second and Redis commands, beside kombu's own transport, on the same server.

`make bench-delivery`, or `make bench-delivery OPTIONS='--rounds 3 --tasks 500 --write'`.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import rendering
from celery import Celery
from redis import Redis
from servers import RedisServer, end, wait_until

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "DELIVERY.md"
DESIGNS = {"plain": ("plain_transport:celery_app", "kombu's transport"), "ours": ("app.core.celery:celery_app", "ours")}
LENGTHS = (0, 1, 5, 20)
"""Milliseconds that a task takes."""
CONCURRENCY = 2
SECONDS = 120.0


class Worker:
    """With databases of its own, so that its commands can be told from those of the other."""

    def __init__(self, design: str, service: Path, server: RedisServer) -> None:
        self._design, self._service = design, service
        self._server = server
        number = 2 * list(DESIGNS).index(design)
        self._urls = server.url(number), server.url(number + 1)
        self._broker, self._results = (Redis.from_url(url) for url in self._urls)
        self._sender = Celery(broker=self._urls[0], set_as_current=False)

    @contextmanager
    def running(self) -> Iterator[None]:
        env = {
            "APP_ENV": "test",
            "DATABASE_URL": "sqlite+aiosqlite:///unused.db",
            "REDIS_URL": self._urls[1],
            "CELERY_BROKER_URL": self._urls[0],
            "CELERY_RESULT_BACKEND": self._urls[1],
            "CELERY_WORKER_CONCURRENCY": str(CONCURRENCY),
        }
        log = self._service / f"{self._design}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["celery", "-A", DESIGNS[self._design][0], "worker", "--loglevel", "INFO"],
                cwd=self._service,
                env=rendering.environment(self._service, **env),
                stdout=output,
                stderr=output,
            )
        try:
            wait_until(lambda: " ready." in log.read_text(), 30, log.read_text)
            yield
        finally:
            end(process)

    def measure(self, tasks: int, milliseconds: float) -> tuple[float, float]:
        """Tasks per second, and commands that Redis has run for each, those inside its scripts included."""
        self._results.flushdb()
        for _ in range(tasks):
            self._sender.send_task("milliseconds.wait", [milliseconds], queue="staged")
        if self._design == "ours":
            self._write_records()
        commands, began = self._commands(), time.perf_counter()
        self._broker.rename("staged", "default")
        self._broker.lpush("queues:bell", 1)
        while self._broker.llen("default") or self._broker.hlen("unacked"):
            if time.perf_counter() - began > SECONDS:
                raise TimeoutError(f"{self._design}: {tasks} tasks were not done in {SECONDS} s")
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        done = sum(1 for _ in self._results.scan_iter("celery-task-meta-*", count=1000))
        if done != tasks:
            raise RuntimeError(f"{self._design}: {done} results of {tasks} tasks")
        return tasks / seconds, (self._commands() - commands) / tasks

    def _write_records(self) -> None:
        """As the service does when it queues a task."""
        for payload in self._broker.lrange("staged", 0, -1):
            message = json.loads(payload)
            task_id, tag = message["headers"]["id"], message["properties"]["delivery_tag"]
            self._broker.hset(f"task:{task_id}", mapping={"tag": tag, "queue": "default", "message": payload})
            self._broker.zadd("tasks:open", {task_id: time.time()})

    def _commands(self) -> int:
        """Without those by which this program looks."""
        statistics = self._broker.info("commandstats")
        looks = ("llen", "hlen", "info", "scan", "rename", "flushdb")
        return sum(values["calls"] for name, values in statistics.items() if name.removeprefix("cmdstat_") not in looks)


@contextmanager
def rendered_service() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        service = rendering.render(Path(folder) / "service", use_celery=True, database="sqlite")
        rendering.install(service)
        shutil.copy(HERE / "milliseconds.py", service / "app" / "tasks")
        shutil.copy(HERE / "plain_transport.py", service)
        yield service


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tasks", type=int, default=1_000, help="of each length in each round")
    parser.add_argument("--write", action="store_true", help=f"save the table in {RESULTS.name}")
    options = parser.parse_args()

    measured: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with rendered_service() as service, tempfile.TemporaryDirectory() as folder:
        server = RedisServer("redis-server", Path(folder))
        server.start()
        with ExitStack() as stack:
            stack.callback(server.stop)
            workers = {design: Worker(design, service, server) for design in DESIGNS}
            for worker in workers.values():
                stack.enter_context(worker.running())
                worker.measure(tasks=200, milliseconds=0)  # to warm up
            for number in range(options.rounds):
                for length in LENGTHS:
                    for design in list(DESIGNS) if number % 2 == 0 else reversed(DESIGNS):
                        measured.setdefault((design, length), []).append(workers[design].measure(options.tasks, length))

    lines = [
        "| task | kombu's transport, tasks/s | ours, tasks/s | ratio | commands a task, kombu's | ours |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for length in LENGTHS:
        plain, ours = measured["plain", length], measured["ours", length]
        ratio = median(one[0] / other[0] for one, other in zip(ours, plain, strict=True))
        rates = (median(rate for rate, _ in runs) for runs in (plain, ours))
        commands = (median(number for _, number in runs) for runs in (plain, ours))
        cells = (*(f"{rate:,.0f}" for rate in rates), f"{ratio:.2f}", *(f"{number:.1f}" for number in commands))
        lines.append(f"| {length} ms | {' | '.join(cells)} |")
    table = "\n".join(lines)
    conditions = (
        f"Medians of {options.rounds} rounds of {options.tasks:,} tasks, one worker at work at a time, concurrency"
        f" {CONCURRENCY}; of ratios, those of each round. Python {platform.python_version()}, {os.cpu_count()} CPUs."
    )
    print(f"{table}\n\n{conditions}")
    if options.write:
        RESULTS.write_text(f"# Leases and records\n\n{table}\n\n{conditions}\n")


if __name__ == "__main__":
    main()
