"""PostgreSQL, of which tests ask what became of a service's connections."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from servers.process import HOST, Server, free_port, wait_until


class PostgresServer(Server):
    """PostgreSQL, which logs every connection: those of `service`, who is tested, and those of `postgres`, the test."""

    _asks_it_to_end = signal.SIGINT  # cuts connections, rolls back what is open

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._log = folder / "postgres.log"
        self._log.touch()
        self.port = free_port()
        self._user = None if os.getuid() else "postgres"  # it refuses to run as root
        if self._user:
            for path in (folder, self._log):
                shutil.chown(path, self._user)
        self._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")

    def start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "fsync": "off",
            "log_connections": "on",
            "log_disconnections": "on",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", "data", *options],
                cwd=self._folder,
                user=self._user,
                stdout=log,
                stderr=log,
            )
        wait_until(self._is_ready, what=self._log.read_text)

    def kill(self) -> None:
        backends = psutil.Process(self._process.pid).children()
        self._process.kill()
        for backend in backends:
            with suppress(psutil.NoSuchProcess):
                backend.kill()
        self._process.wait()
        psutil.wait_procs(backends)

    def restart(self) -> None:
        self.stop()
        self.start()

    def create_database(self, name: str, template: str = "template1") -> str:
        """Its address."""
        self.query(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def url(self, database: str = "postgres", user: str = "service") -> str:
        return f"postgresql://{user}@{HOST}:{self.port}/{database}"

    def query(self, sql: str, database: str = "postgres") -> list[str]:
        """The rows, their columns separated by `|`."""
        rows = self._run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url(database, "postgres"))
        return rows.splitlines()

    def connections(self, database: str, state: str = "%") -> int:
        """How many the service has open now, in states such as `active`, `idle` and `idle in transaction`."""
        return self._count(f"datname = '{database}' AND state LIKE '{state}'")

    def transactions(self, database: str) -> int:
        """How many of the service's have written something, and are open now."""
        return self._count(f"datname = '{database}' AND backend_xid IS NOT NULL")

    def connections_ever(self, database: str) -> int:
        """How many the service has made since its creation."""
        return sum(change > 0 for change in self._changes(database))

    def connections_at_once(self, database: str) -> int:
        """How many the service had open at the busiest moment since its creation."""
        now = most = 0
        for change in self._changes(database):
            now += change
            most = max(most, now)
        return most

    def _changes(self, database: str) -> Iterator[int]:
        events = rf"(connection authorized|disconnection): .*user=service database={database}\b"
        for event in re.findall(events, self._log.read_text()):
            yield 1 if event == "connection authorized" else -1

    def _count(self, condition: str) -> int:
        (count,) = self.query(f"SELECT count(*) FROM pg_stat_activity WHERE usename = 'service' AND {condition}")  # noqa: S608 (ours)
        return int(count)

    def _is_ready(self) -> bool:
        ask = [str(self._programs / "pg_isready"), "-q", "-h", HOST, "-p", str(self.port)]
        return subprocess.run(ask, check=False).returncode == 0

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(command, cwd=self._folder, user=self._user, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stderr}"
        return done.stdout
