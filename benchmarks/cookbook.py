"""The recipes that are about much: a large file, many messages, many rows to count; beside how they are often written.

`make bench-cookbook`, or `make bench-cookbook OPTIONS='--rounds 1 --rows 100000 --write'`. Needs redis-server,
PostgreSQL, and Linux, which tells the peak of a process's memory.
"""

import argparse
import csv
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import Any

import httpx2
import psutil
import rendering
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from cookbook_databases import MONTH, Database, PostgreSQL, SQLite
from measured_worker import APP, CONCURRENCY, HERE
from redis import Redis
from servers import HOST, PostgresServer, RedisServer, end, find_postgresql, find_redis, free_port, running, wait_until

RESULTS = HERE / "COOKBOOK.md"
NAIVE_SHARE = 10
"""The naive recipes get a tenth of the work: they would take long, and what they do is the same for each row."""
PATIENCE = 1_800.0
ANNOUNCEMENT = {"subject": "News", "text": "We are open on Sundays."}


class MailSink:
    """Takes every message, and counts."""

    def __init__(self) -> None:
        self.port = free_port()
        self.messages = self.connections = 0

    async def handle_EHLO(  # noqa: N802 (its name in aiosmtpd)
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.connections += 1
        return responses

    async def handle_DATA(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802
        self.messages += 1
        return "250 OK"

    @contextmanager
    def running(self) -> Iterator[None]:
        controller = Controller(self, hostname=HOST, port=self.port)
        controller.start()
        try:
            yield
        finally:
            controller.stop()


class Process:
    """And those that it starts."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def peak(self) -> float:
        """MB, of the one that took most, since it began."""
        family = [self._process, *self._process.children(recursive=True)]
        return max(self._high_water(one.pid) for one in family)

    @staticmethod
    def _high_water(pid: int) -> float:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return int(kilobytes) / 1024


class Running:
    """An API and a worker that have done nothing yet."""

    def __init__(self, port: int, api: Process, worker: Process, mail: MailSink) -> None:
        self.api, self.worker, self.mail = api, worker, mail
        self._client = httpx2.Client(base_url=f"http://{HOST}:{port}", timeout=120)

    def post(self, path: str, **request: Any) -> str:
        """Where the task is."""
        answer = self._client.post(f"/api/v1/{path}", **request)
        if answer.status_code != HTTPStatus.ACCEPTED:
            raise RuntimeError(f"{path}: {answer.status_code} {answer.text}")
        return str(answer.headers["Location"])

    def get(self, path: str) -> str:
        return self._client.get(f"/api/v1/{path}").raise_for_status().text

    def result(self, location: str) -> Any:
        while (task := self._client.get(location, params={"wait": 30}).json())["status"] != "SUCCESS":
            if task["finished_at"]:
                raise RuntimeError(f"{task}")
        return task["result"]


@contextmanager
def running_service(
    service: Path, database_url: str, redis: RedisServer, mail: MailSink, control: tuple[str, ...] = ()
) -> Iterator[Running]:
    port = free_port()
    with tempfile.TemporaryDirectory(dir=service) as name:
        folder = Path(name)
        env = rendering.environment(
            service,
            APP_ENV="development",
            DATABASE_URL=database_url,
            REDIS_URL=redis.url(0),
            CELERY_BROKER_URL=redis.url(1),
            CELERY_RESULT_BACKEND=redis.url(2),
            CELERY_WORKER_CONCURRENCY=str(CONCURRENCY),
            FILES_FOLDER=str(folder / "files"),
            SMTP_HOST=HOST,
            SMTP_PORT=str(mail.port),
        )
        Redis.from_url(redis.url()).flushall()
        uvicorn = ("uvicorn", "app.main:app", "--port", str(port), "--no-access-log")
        with (
            _program(service, env, folder / "worker.log", ("celery", "-A", APP, "worker"), " ready.") as worker,
            _program(service, env, folder / "api.log", uvicorn, "Uvicorn running") as api,
        ):
            if control:
                rendering.run(service, "celery", "-A", APP, "control", "--timeout", "5", *control, **env)
            yield Running(port, api, worker, mail)


@contextmanager
def _program(service: Path, env: dict[str, str], log: Path, command: tuple[str, ...], ready: str) -> Iterator[Process]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=service, env=env, stdout=output, stderr=output)
    try:
        wait_until(lambda: ready in log.read_text(), 30, log.read_text)
        yield Process(process.pid)
    finally:
        end(process)


@dataclass(frozen=True)
class Work:
    what: str
    unit: str
    amount: int
    template: str
    """The database that it begins with."""
    do: Callable[[Running, int], None]
    control: tuple[str, ...] = ()
    """What the worker is told before."""
    beside: str | None = None
    """What it is compared with."""


@dataclass(frozen=True)
class Measured:
    rate: float
    seconds: float
    worker_before: float
    worker: float
    api_before: float
    api: float


def measure(work: Work, one: Running) -> Measured:
    worker, api = one.worker.peak(), one.api.peak()
    began = time.perf_counter()
    work.do(one, work.amount)
    seconds = time.perf_counter() - began
    return Measured(work.amount / seconds, seconds, worker, one.worker.peak(), api, one.api.peak())


def expect(found: object, expected: object) -> None:
    if found != expected:
        raise RuntimeError(f"{found} in place of {expected}")


def write_orders(file: Path, rows: int, users: int) -> None:
    with file.open("w") as lines:
        lines.write("reference,email,total_cents,currency,ordered_at\n")
        for n in range(rows):
            day, second = n % 31 + 1, n % 60
            lines.write(
                f"order-{n},{n % users + 1}@example.org,{n % 100_000},EUR,{MONTH}-{day:02}T12:00:{second:02}Z\n"
            )


def works(options: argparse.Namespace, folder: Path) -> list[Work]:
    few_rows, few_users = options.rows // NAIVE_SHARE, options.users // NAIVE_SHARE
    file, short_file = folder / "orders.csv", folder / "few_orders.csv"
    write_orders(file, options.rows, options.users)
    write_orders(short_file, few_rows, options.users)

    def import_orders(one: Running, rows: int) -> None:
        with file.open("rb") as content:
            location = one.post("imports", content=content, headers={"Content-Type": "text/csv"})
        expect(one.result(location)["imported"], rows)

    def import_naively(one: Running, rows: int) -> None:
        expect(one.result(one.post("tasks/naive.import_orders", json={"file": str(short_file)})), rows)

    def announce(one: Running, users: int) -> None:
        result = one.result(one.post("tasks/notifications.announce", json=ANNOUNCEMENT))
        expect((result["sent"], result["failed"], one.mail.messages), (users, 0, users))

    def announce_naively(one: Running, users: int) -> None:
        one.post("tasks/naive.announce", json=ANNOUNCEMENT | {"users": users})
        wait_until(lambda: one.mail.messages == users, PATIENCE)

    def report(one: Running, orders: int) -> None:
        one.result(one.post("tasks/reports.monthly", json={"month": MONTH}))
        rows = csv.DictReader(one.get(f"reports/{MONTH}.csv").splitlines())
        expect(sum(int(row["count"]) for row in rows if row["figure"] == "orders"), orders)

    unlimited = ("rate_limit", "notifications.send_chunk", "0")
    return [
        Work("import, naive", "rows", few_rows, "users", import_naively),
        Work("import", "rows", options.rows, "users", import_orders, beside="import, naive"),
        Work("notifications, naive", "messages", few_users, "users", announce_naively),
        Work(
            "notifications, no limit",
            "messages",
            options.users,
            "users",
            announce,
            control=unlimited,
            beside="notifications, naive",
        ),
        Work("notifications", "messages", options.users, "users", announce, beside="notifications, naive"),
        Work("monthly report", "orders", options.rows, "orders", report),
    ]


def as_table(measured: dict[tuple[str, str], list[Measured]], of: list[Work]) -> str:
    lines = [
        "| | database | of | seconds | a second | x naive | worker, MB | its peak | API, MB | its peak |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for work in of:
        for kind in (PostgreSQL.kind, SQLite.kind):
            runs = measured[work.what, kind]
            ratio = ""
            if work.beside:
                naive = measured[work.beside, kind]
                ratio = f"{median(one.rate / other.rate for one, other in zip(runs, naive, strict=True)):.1f}"
            cells = (
                work.what,
                kind,
                f"{work.amount:,} {work.unit}",
                f"{median(one.seconds for one in runs):.1f}",
                f"{median(one.rate for one in runs):,.0f}",
                ratio,
                f"{median(one.worker_before for one in runs):.0f}",
                f"{median(one.worker for one in runs):.0f}",
                f"{median(one.api_before for one in runs):.0f}",
                f"{median(one.api for one in runs):.0f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@contextmanager
def databases(service: Path, redis: RedisServer, options: argparse.Namespace) -> Iterator[tuple[Database, ...]]:
    url, amounts = redis.url(), {"users": options.users, "orders": options.rows}
    with (
        running(lambda folder: PostgresServer(find_postgresql(), folder)) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        server.query("CREATE ROLE service SUPERUSER LOGIN")
        yield (
            PostgreSQL(service, url, **amounts, server=server),
            SQLite(service, url, **amounts, folder=Path(folder)),
        )


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the file, and orders that are reported")
    parser.add_argument("--users", type=int, default=10_000, help="to whom is sent")
    parser.add_argument("--write", action="store_true", help=f"save the table in {RESULTS.name}")
    return parser.parse_args()


def measure_all(
    of: list[Work], kinds: tuple[Database, ...], service: Path, redis: RedisServer
) -> Iterator[tuple[str, str, Measured]]:
    """Each with a database, a mail server, an API and a worker of its own."""
    for work in of:
        for database in kinds:
            mail = MailSink()
            with (
                mail.running(),
                database.copy(work.template) as url,
                running_service(service, url, redis, mail, work.control) as one,
            ):
                run = measure(work, one)
            print(f"{work.what}, {database.kind}: {run}, {mail.connections} connections", flush=True)
            yield work.what, database.kind, run


def main() -> None:
    options = read_options()
    measured: dict[tuple[str, str], list[Measured]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        running(lambda folder: RedisServer(find_redis(), folder)) as redis,
    ):
        service = rendering.render(Path(folder) / "service", **rendering.COMBINATIONS["examples-postgresql"])
        rendering.install(service)
        shutil.copy(HERE / "naive_cookbook.py", service / "app" / "tasks")
        of = works(options, Path(folder))
        with databases(service, redis, options) as kinds:
            with kinds[0].copy("users") as url, running_service(service, url, redis, MailSink()):
                pass  # now all of it is compiled
            for _ in range(options.rounds):
                for what, kind, run in measure_all(of, kinds, service, redis):
                    measured.setdefault((what, kind), []).append(run)
    table = as_table(measured, of)
    conditions = (
        f"Medians of {options.rounds} rounds, each with an API and a worker that were just started, concurrency"
        f" {CONCURRENCY}; of ratios, those of each round. Peaks: resident memory of the process that took most."
        " The mail server and the database are on the same machine, and PostgreSQL does not wait for the disk."
        f" Python {platform.python_version()}, {os.cpu_count()} CPUs."
    )
    print(f"{table}\n\n{conditions}")
    if options.write:
        RESULTS.write_text(f"# The cookbook\n\n{table}\n\n{conditions}\n")


if __name__ == "__main__":
    main()
