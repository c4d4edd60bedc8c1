"""What leases and records cost: tasks per second and Redis commands, beside kombu's own transport, on the same server.

`make bench-delivery`, or `make bench-delivery OPTIONS='--rounds 3 --tasks 500 --write'`.
"""

import json
import shutil
import time
from contextlib import ExitStack
from statistics import median

from measured_worker import APP, HERE, Worker, read_options, rendered_service, report
from servers import RedisServer, find_redis, running

RESULTS = HERE / "DELIVERY.md"
DESIGNS = {"plain": ("plain_transport:celery_app", "kombu's transport"), "ours": (APP, "ours")}
LENGTHS = (0, 1, 5, 20)
"""Milliseconds that a task takes."""


class CountedWorker(Worker):
    def measure(self, tasks: int, milliseconds: float) -> tuple[float, float]:
        """Tasks per second, and commands that Redis has run for each, those inside its scripts included."""
        self.results.flushdb()
        for _ in range(tasks):
            self.stage("milliseconds.wait", milliseconds)
        if self.name == "ours":
            self._write_records()
        commands = self._commands()
        # kombu takes a message off its queue a moment before it notes it as unacknowledged: the results are surer
        seconds = self.run_staged(lambda: self.results.dbsize() >= tasks)
        done = sum(1 for _ in self.results.scan_iter("celery-task-meta-*", count=1000))
        if done != tasks:
            raise RuntimeError(f"{self.name}: {done} results of {tasks} tasks")
        return tasks / seconds, (self._commands() - commands) / tasks

    def _write_records(self) -> None:
        """As the service does when it queues a task."""
        for payload in self.broker.lrange("staged", 0, -1):
            message = json.loads(payload)
            task_id, tag = message["headers"]["id"], message["properties"]["delivery_tag"]
            self.broker.hset(f"task:{task_id}", mapping={"tag": tag, "queue": "default", "message": payload})
            self.broker.zadd("tasks:open", {task_id: time.time()})

    def _commands(self) -> int:
        """Without those by which this program looks."""
        statistics = self.broker.info("commandstats")
        looks = ("llen", "hlen", "info", "scan", "rename", "flushdb", "dbsize")
        return sum(values["calls"] for name, values in statistics.items() if name.removeprefix("cmdstat_") not in looks)


def main() -> None:
    options = read_options(__doc__, RESULTS, rounds=7, of_each="length")
    measured: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with (
        rendered_service("sqlite", "milliseconds.py") as service,
        running(lambda folder: RedisServer(find_redis(), folder)) as redis,
        ExitStack() as stack,
    ):
        shutil.copy(HERE / "plain_transport.py", service)
        workers = {design: CountedWorker(design, redis, number) for number, design in enumerate(DESIGNS)}
        for design, worker in workers.items():
            stack.enter_context(worker.running(service, "sqlite+aiosqlite:///unused.db", DESIGNS[design][0]))
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
    report(options, RESULTS, "Leases and records", "\n".join(lines))


if __name__ == "__main__":
    main()
