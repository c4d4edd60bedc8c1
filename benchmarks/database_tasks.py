"""Database tasks per second: the service's ways to write a task beside the naive one and the limit, on real servers.

`make bench-database`, or `make bench-database OPTIONS='--rounds 3 --tasks 300 --write'`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import rendering
from celery import states
from kombu.utils.json import loads
from measured_worker import HERE, Worker, read_options, rendered_service, report
from servers import PostgresServer, RedisServer, find_postgresql, find_redis, running

DESIGNS = {  # tasks in designs.py
    "naive": "naive: a new event loop and engine a task",
    "asynchronous": "ours: `async def`, given a session",
    "plain": "ours: `def`, with `asyncio.run` and `get_db()`",
    "synchronous": "limit: synchronous, psycopg, pooled",
    "nothing": "a task that does nothing",
}
USERS = 1_000
RESULTS = HERE / "RESULTS.md"


class RatedWorker(Worker):
    """For one design."""

    def __init__(self, design: str, redis: RedisServer, number: int) -> None:
        super().__init__(design, redis, number)
        self.rates: list[float] = []
        self.tasks = 0

    def measure(self, tasks: int) -> float:
        """Tasks per second."""
        self.results.flushdb()
        ids = [self.stage(f"design.{self.name}", number % USERS + 1) for number in range(tasks)]
        seconds = self.run_staged(lambda: self._succeeded(ids))
        self.tasks += tasks
        return tasks / seconds

    def _succeeded(self, ids: list[str]) -> bool:
        stored = self.results.mget([f"celery-task-meta-{task_id}" for task_id in ids])
        results = [loads(result) for result in stored if result]
        for result in results:
            if result["status"] == states.FAILURE:
                raise RuntimeError(f"design.{self.name}: {result['result']}")
        return [result["status"] for result in results] == [states.SUCCESS] * len(ids)


@contextmanager
def servers() -> Iterator[tuple[RedisServer, PostgresServer]]:
    with (
        running(lambda folder: RedisServer(find_redis(), folder)) as redis,
        running(lambda folder: PostgresServer(find_postgresql(), folder)) as postgres,
    ):
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


def as_table(workers: list[RatedWorker], connections: dict[str, int]) -> str:
    rates = {worker.name: worker.rates for worker in workers}

    def ratio(design: str, to: str) -> str:
        return f"{median(one / other for one, other in zip(rates[design], rates[to], strict=True)):.2f}"

    lines = ["| task | tasks/s | x naive | x limit | connections per 1,000 tasks |", "|---|--:|--:|--:|--:|"]
    for worker in workers:
        cells = (
            DESIGNS[worker.name],
            f"{median(worker.rates):,.0f}",
            ratio(worker.name, "naive"),
            ratio(worker.name, "synchronous"),
            f"{1000 * connections[worker.name] / worker.tasks:,.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    options = read_options(__doc__, RESULTS, rounds=9, of_each="design")
    with rendered_service("postgresql", "designs.py") as service, servers() as (redis, postgres):
        rendering.run(service, "uv", "pip", "install", "--quiet", "--python", ".venv", "psycopg[binary]")
        make_databases(service, redis, postgres)
        workers = [RatedWorker(design, redis, number) for number, design in enumerate(DESIGNS)]
        with ExitStack() as stack:
            for worker in workers:
                stack.enter_context(worker.running(service, postgres.url(worker.name)))
            for worker in workers:
                worker.measure(tasks=100)  # to warm up
            for number in range(options.rounds):
                for worker in workers if number % 2 == 0 else reversed(workers):
                    worker.rates.append(worker.measure(options.tasks))
        table = as_table(workers, {design: postgres.connections_ever(design) for design in DESIGNS})

    report(options, RESULTS, "Database tasks", table)


if __name__ == "__main__":
    main()
