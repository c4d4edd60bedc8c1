"""Database tasks per second: the service's ways to write a task beside the naive one and the limit, on real servers.

`make bench-database`, or `make bench-database OPTIONS='--rounds 3 --tasks 300 --write'`.
"""

import argparse
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
from celery import Celery, states
from kombu import Connection
from kombu.utils.json import loads
from redis import Redis
from servers import PostgresServer, RedisServer, end, find_postgresql

HERE = Path(__file__).resolve().parent
DESIGNS = {  # tasks in designs.py
    "naive": "naive: a new event loop and engine a task",
    "asynchronous": "ours: `async def`, given a session",
    "plain": "ours: `def`, with `asyncio.run` and `get_db()`",
    "synchronous": "limit: synchronous, psycopg, pooled",
    "nothing": "a task that does nothing",
}
CONCURRENCY = 2
USERS = 1_000
DEADLINE = 120.0
RESULTS = HERE / "RESULTS.md"
sender = Celery(set_as_current=False)


class Worker:
    """A worker for one design, on Redis and PostgreSQL databases of its own, so that each can be counted by itself."""

    def __init__(self, design: str, broker_url: str, results_url: str) -> None:
        self.design = design
        self.rates: list[float] = []
        self.tasks = 0
        self._broker_url, self._results_url = broker_url, results_url
        self._broker, self._results = Redis.from_url(broker_url), Redis.from_url(results_url)

    @contextmanager
    def running(self, service: Path, database_url: str) -> Iterator[None]:
        env = {
            "APP_ENV": "test",
            "DATABASE_URL": database_url,
            "REDIS_URL": self._results_url,
            "CELERY_BROKER_URL": self._broker_url,
            "CELERY_RESULT_BACKEND": self._results_url,
            "CELERY_WORKER_CONCURRENCY": str(CONCURRENCY),
        }
        with (service / f"{self.design}.log").open("wb") as log:
            process = subprocess.Popen(
                ["celery", "-A", "app.core.celery:celery_app", "worker"],
                cwd=service,
                env=rendering.environment(service, **env),
                stdout=log,
                stderr=log,
            )
        try:
            yield
        finally:
            end(process)

    def measure(self, tasks: int) -> float:
        """Tasks per second, from the moment when all messages are in the queue until the last is acknowledged."""
        self._results.flushdb()
        name = f"design.{self.design}"
        with Connection(self._broker_url) as connection:
            ids = [
                sender.send_task(name, [i % USERS + 1], queue="staged", connection=connection).id for i in range(tasks)
            ]
        began = time.perf_counter()
        self._broker.rename("staged", "default")
        self._broker.lpush("queues:bell", 1)  # or the worker would look up to a second later
        while True:
            left = self._broker.llen("default") or self._broker.hlen("unacked")
            seconds = time.perf_counter() - began
            if not left and self._succeeded(ids):
                self.tasks += tasks
                return tasks / seconds
            if seconds > DEADLINE:
                raise TimeoutError(f"{name}: {tasks} tasks were not done in {DEADLINE} s")
            time.sleep(0.005)

    def _succeeded(self, ids: list[str]) -> bool:
        stored = self._results.mget([f"celery-task-meta-{task_id}" for task_id in ids])
        results = [loads(result) for result in stored if result]
        for result in results:
            if result["status"] == states.FAILURE:
                raise RuntimeError(f"design.{self.design}: {result['result']}")
        return [result["status"] for result in results] == [states.SUCCESS] * len(ids)


@contextmanager
def rendered_service() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        service = rendering.render(Path(folder) / "service", use_celery=True, database="postgresql")
        rendering.install(service)
        rendering.run(service, "uv", "pip", "install", "--quiet", "--python", ".venv", "psycopg[binary]")
        shutil.copy(HERE / "designs.py", service / "app" / "tasks" / "designs.py")
        yield service


@contextmanager
def servers() -> Iterator[tuple[RedisServer, PostgresServer]]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stopping:
        (postgres_folder := Path(folder) / "postgresql").mkdir()
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user
        redis = RedisServer("redis-server", Path(folder))
        postgres = PostgresServer(find_postgresql(), postgres_folder)
        for server in (redis, postgres):
            server.start()
            stopping.callback(server.stop)
        postgres.query("CREATE ROLE service SUPERUSER LOGIN")
        yield redis, postgres


def make_databases(service: Path, redis: RedisServer, postgres: PostgresServer) -> None:
    """One for each design, with the same users."""
    env = dict.fromkeys(("REDIS_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"), redis.url())
    url = postgres.create_database("users")
    rendering.run(service, "alembic", "upgrade", "head", APP_ENV="test", DATABASE_URL=url, **env)
    postgres.query(
        f"INSERT INTO users (email, name) SELECT n || '@example.org', 'User ' || n FROM generate_series(1, {USERS}) n",  # noqa: S608
        "users",
    )
    for design in DESIGNS:
        postgres.create_database(design, template="users")


def as_table(workers: list[Worker], connections: dict[str, int]) -> str:
    rates = {worker.design: worker.rates for worker in workers}

    def ratio(design: str, to: str) -> str:
        return f"{median(one / other for one, other in zip(rates[design], rates[to], strict=True)):.2f}"

    lines = ["| task | tasks/s | x naive | x limit | connections per 1,000 tasks |", "|---|--:|--:|--:|--:|"]
    for worker in workers:
        cells = (
            DESIGNS[worker.design],
            f"{median(worker.rates):,.0f}",
            ratio(worker.design, "naive"),
            ratio(worker.design, "synchronous"),
            f"{1000 * connections[worker.design] / worker.tasks:,.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tasks", type=int, default=1_000, help="of each design in each round")
    parser.add_argument("--write", action="store_true", help=f"save the table in {RESULTS.name}")
    options = parser.parse_args()

    with rendered_service() as service, servers() as (redis, postgres):
        make_databases(service, redis, postgres)
        workers = [Worker(design, redis.url(2 * i), redis.url(2 * i + 1)) for i, design in enumerate(DESIGNS)]
        with ExitStack() as running:
            for worker in workers:
                running.enter_context(worker.running(service, postgres.url(worker.design)))
            for worker in workers:
                worker.measure(tasks=100)  # to warm up
            for number in range(options.rounds):
                for worker in workers if number % 2 == 0 else reversed(workers):
                    worker.rates.append(worker.measure(options.tasks))
        table = as_table(workers, {design: postgres.connections_ever(design) for design in DESIGNS})

    conditions = (
        f"Medians of {options.rounds} rounds of {options.tasks:,} tasks, one worker at work at a time, concurrency"
        f" {CONCURRENCY}; of ratios, those of each round. Python {platform.python_version()}, {os.cpu_count()} CPUs."
    )
    print(f"{table}\n\n{conditions}")
    if options.write:
        RESULTS.write_text(f"# Database tasks\n\n{table}\n\n{conditions}\n")


if __name__ == "__main__":
    main()
