"""Databases with many users and orders, to be copied for each measurement of the recipes."""

import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import rendering
from servers import PostgresServer

MONTH = "2026-10"
"""Of all orders."""
SECONDS_OF_MONTH = 31 * 86_400


class Database(ABC):
    """Of one kind: databases to copy, one without orders and one with as many as there are rows, and their copies."""

    kind: str
    _series: str
    _moment: str

    def __init__(self, service: Path, redis_url: str, *, users: int, orders: int) -> None:
        env = dict.fromkeys(("REDIS_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"), redis_url)
        url = self._make("users")
        rendering.run(service, "alembic", "upgrade", "head", APP_ENV="development", DATABASE_URL=url, **env)
        self._execute(
            "users",
            f"INSERT INTO users (email, name) SELECT n || '@example.org', 'User ' || n FROM {self._up_to(users)}",  # noqa: S608 (numbers)
        )
        self._copy("users", "orders")
        self._execute(
            "orders",
            f"""INSERT INTO orders (reference, user_id, total_cents, currency, status, ordered_at)
            SELECT 'o-' || n, n % {users} + 1, n % 100000, CASE n % 2 WHEN 0 THEN 'EUR' ELSE 'USD' END, 'paid',
            {self._moment.format(f"n % {SECONDS_OF_MONTH}")} FROM {self._up_to(orders)}""",  # noqa: S608 (numbers)
        )
        self._execute(
            "orders",
            """INSERT INTO payments (id, order_id, status, created_at)
            SELECT 'p-' || id, id, 'paid', ordered_at FROM orders WHERE id % 2 = 0""",
        )

    @contextmanager
    def copy(self, template: str) -> Iterator[str]:
        """The address of one that is used once."""
        yield self._copy(template, "copied")
        self._drop("copied")

    def _up_to(self, number: int) -> str:
        return self._series.format(number)

    @abstractmethod
    def _make(self, name: str) -> str: ...

    @abstractmethod
    def _copy(self, template: str, name: str) -> str: ...

    @abstractmethod
    def _drop(self, name: str) -> None: ...

    @abstractmethod
    def _execute(self, name: str, statement: str) -> None: ...


class PostgreSQL(Database):
    kind = "PostgreSQL"
    _series = "generate_series(1, {}) n"
    _moment = f"timestamptz '{MONTH}-01 00:00Z' + make_interval(secs => {{}})"

    def __init__(self, service: Path, redis_url: str, *, users: int, orders: int, server: PostgresServer) -> None:
        self._server = server
        super().__init__(service, redis_url, users=users, orders=orders)

    def _make(self, name: str) -> str:
        return self._server.create_database(name)

    def _copy(self, template: str, name: str) -> str:
        return self._server.create_database(name, template=template)

    def _drop(self, name: str) -> None:
        self._server.query(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, name: str, statement: str) -> None:
        self._server.query(statement, name)
        self._server.query("VACUUM ANALYZE", name)


class SQLite(Database):
    kind = "SQLite"
    _series = "(WITH RECURSIVE up AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM up WHERE n < {}) SELECT n FROM up)"
    _moment = f"datetime('{MONTH}-01', ({{}}) || ' seconds')"

    def __init__(self, service: Path, redis_url: str, *, users: int, orders: int, folder: Path) -> None:
        self._folder = folder
        super().__init__(service, redis_url, users=users, orders=orders)

    def _make(self, name: str) -> str:
        return f"sqlite+aiosqlite:///{self._folder / name}.db"

    def _copy(self, template: str, name: str) -> str:
        shutil.copy(self._folder / f"{template}.db", self._folder / f"{name}.db")
        return self._make(name)

    def _drop(self, name: str) -> None:
        for file in self._folder.glob(f"{name}.db*"):
            file.unlink()

    def _execute(self, name: str, statement: str) -> None:
        with closing(sqlite3.connect(self._folder / f"{name}.db")) as connection, connection:
            connection.execute(statement)
            connection.execute("ANALYZE")
