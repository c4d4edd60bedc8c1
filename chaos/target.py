"""One design at work: its servers, its supervised processes, and the ledger of what happens to it."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rendering
from servers import PostgresServer, Proxy, RedisServer, find_postgresql

from chaos.ledger import Ledger
from chaos.supervised import Supervised

HERE = Path(__file__).resolve().parent
WORKERS = 2
CONCURRENCY = 4
LEDGER = "ledger.jsonl"
BROKER = 1
"""Number of the broker's database."""


@dataclass(frozen=True)
class Design:
    name: str
    title: str
    app: str


DESIGNS = {
    design.name: design
    for design in (
        Design("service", "The rendered service", "app.core.celery:celery_app"),
        Design("tutorial", "Celery's default settings, as in tutorials", "chaos.tutorial:app"),
        Design(
            "advised",
            "Late acknowledgement, reject on worker loss, short visibility timeout, as in blog posts",
            "chaos.advised:app",
        ),
    )
}


@dataclass(frozen=True)
class Target:
    """The senders reach Redis directly, workers and beat through `network`."""

    design: Design
    ledger: Ledger
    redis: RedisServer
    postgres: PostgresServer
    network: Proxy
    workers: list[Supervised]
    beat: Supervised
    folder: Path
    sender_env: dict[str, str]

    @contextmanager
    def sending(self, sends: list[dict[str, Any]], patience: float) -> Iterator[None]:
        """From the moment when the first of these is sent until the call that queued the last has returned."""
        with (self.folder / "sender.log").open("ab") as log:
            sender = subprocess.Popen(
                ["python", "-m", "chaos.sender", self.design.app],
                cwd=self.folder,
                env=self.sender_env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert sender.stdin
        assert sender.stdout
        sender.stdout.readline()  # it is ready
        sender.stdin.write(json.dumps(sends).encode())
        sender.stdin.close()
        yield
        try:
            sender.wait(patience)
        except subprocess.TimeoutExpired:
            sender.kill()  # what it has not noted as sent was not sent
            sender.wait()

    def kill(self, pids: list[int]) -> None:
        """At once, as `docker kill` does."""
        self._signal(pids, signal.SIGSTOP)  # so that none of them sees another die
        began = time.monotonic()
        self._signal(pids, signal.SIGKILL)
        self.note_hit(pids, began)

    def freeze(self, pids: list[int], seconds: float, *, excuses: bool) -> None:
        began = time.monotonic()
        self._signal(pids, signal.SIGSTOP)
        time.sleep(seconds)
        self._signal(pids, signal.SIGCONT)
        if excuses:
            self.note_hit(pids, began)

    def note_hit(self, pids: list[int], began: float, *, shutdown: bool = False) -> None:
        """From `began` until now, what ran in these processes was broken off: it may rightly run once more."""
        self.ledger.note("hit", pids=pids, began=began, shutdown=shutdown)

    def _signal(self, pids: list[int], number: signal.Signals) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def render_service(folder: Path) -> Path:
    service = rendering.render(folder, use_celery=True, use_examples=False, database="postgresql")
    rendering.install(service, "--no-dev")
    shutil.copy(HERE / "service_tasks.py", service / "app" / "tasks" / "chaos.py")
    return service


@contextmanager
def running(design: Design, folder: Path, service: Path, *, append_fsync: str, visibility: float) -> Iterator[Target]:
    """All designs run with the service's own Python and packages."""
    shutil.copytree(HERE, folder / "chaos", ignore=shutil.ignore_patterns("__pycache__"))
    with ExitStack() as stack:
        redis = RedisServer("redis-server", folder, append_fsync)
        (folder / "postgresql").mkdir()
        postgres = PostgresServer(find_postgresql(), folder / "postgresql")
        for server in (redis, postgres):
            server.start()
            stack.callback(server.stop)
        network = stack.enter_context(Proxy(redis.port))
        postgres.query("CREATE ROLE service SUPERUSER LOGIN")
        database_url = postgres.create_database("service")

        def env(port: int) -> dict[str, str]:
            address = f"redis://127.0.0.1:{port}"
            return rendering.environment(
                service,
                APP_ENV="test",
                DATABASE_URL=database_url,
                REDIS_URL=f"{address}/0",
                CELERY_BROKER_URL=f"{address}/{BROKER}",
                CELERY_RESULT_BACKEND=f"{address}/2",
                CELERY_WORKER_CONCURRENCY=str(CONCURRENCY),
                CHAOS_LEDGER=str(folder / LEDGER),
                CHAOS_VISIBILITY=str(visibility),
            )

        if design.app.startswith("app."):
            rendering.run(folder, "alembic", "upgrade", "head", **env(redis.port))
        postgres.query("CREATE TABLE writes (key text NOT NULL, at timestamptz NOT NULL DEFAULT now())", "service")

        def process(name: str, *options: str, ready: str) -> Supervised:
            command = ["celery", "-A", design.app, *options, "--loglevel", "INFO"]
            return stack.enter_context(Supervised(name, command, folder, env(network.port), ready=ready, grace=45))

        workers = [
            process(
                name,
                *("worker", "--concurrency", str(CONCURRENCY), "--hostname", f"{name}@chaos"),
                ready=" ready.",
            )
            for name in (f"worker-{number}" for number in range(WORKERS))
        ]
        beat = process("beat", "beat", "--schedule", "beat.db", ready="beat: Starting...")
        yield Target(design, Ledger(folder / LEDGER), redis, postgres, network, workers, beat, folder, env(redis.port))
