"""A service that has been lived in: its user's own edits, migration, dependency, settings, secrets and data."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import copier
import rendering
from rendering import COMBINATIONS, ROOT, environment, git, install, render, run

# Stands in for a release until there is one: the service as it was before its task API, with an older migration as its
# newest. The first tag takes its place.
BEFORE_THE_FIRST_RELEASE = "118d0ffe3a7e706c23f01aec88fdfc02be4c82dc"
RELEASES = git(ROOT, "tag", "--list", "v*").split() or [BEFORE_THE_FIRST_RELEASE]

KEPT = ("uv.lock", "secret/.env.production")
"""Left as they are by an update, on purpose: `uv lock` and `make secrets` bring them up to date."""

EDITS = {
    "app/services/users.py": ("The next `limit` users by id.", "The next `limit` users, in the order of our shop."),
    "docker-compose.yml": ('"${API_MEMORY:-512m}"', '"${API_MEMORY:-768m}"'),
    "docker-compose.override.yml": (
        "  settings: *development\n",
        "  settings: *development\n\n  adminer:\n    image: adminer:5.4\n",
    ),
    "secret/.env.development": ("CELERY_TIMEZONE=UTC\n", "CELERY_TIMEZONE=Europe/Berlin\nSHOP_CURRENCY=EUR\n"),
    "secret/.env.production.example": ("CELERY_TIMEZONE=UTC\n", "CELERY_TIMEZONE=UTC\nSHOP_CURRENCY=EUR\n"),
    "README.md": ("| `CELERY_TIMEZONE`", "| `SHOP_CURRENCY` | Our money | `EUR` |\n| `CELERY_TIMEZONE`"),
    "Makefile": ("format: ## Put", "seed: ## Fill the shop\n\tuv run python -m scripts.seed\n\nformat: ## Put"),
    "pyproject.toml": (
        '    "pydantic-settings>=2.11",\n',
        '    "pydantic-settings>=2.11",\n    "python-slugify>=8",\n',
    ),
    "app/tasks/reports.py": ("    counts = {}\n", "    counts: dict[str, int] = {}\n"),
}
"""By file, what its user has put in place of what: one of each kind, in the middle of it."""

LAST_SETTING = "| `DATABASE_POOL_SIZE` | Connections that one process keeps at most | 5 |\n"
LAST_TARGET = "\tdocker compose exec api bash\n"
EDITS_AT_THE_END = {
    "app/services/users.py": EDITS["app/services/users.py"],
    "secret/.env.development": ("DATABASE_POOL_SIZE=5\n", "DATABASE_POOL_SIZE=5\nSHOP_CURRENCY=EUR\n"),
    "secret/.env.production.example": ("DATABASE_POOL_SIZE=5\n", "DATABASE_POOL_SIZE=5\nSHOP_CURRENCY=EUR\n"),
    "README.md": (LAST_SETTING, f"{LAST_SETTING}| `SHOP_CURRENCY` | Our money | `EUR` |\n"),
    "Makefile": (LAST_TARGET, f"{LAST_TARGET}\nseed: ## Fill the shop\n\tuv run python -m scripts.seed\n"),
    "Procfile": ("--port 8000\n", "--port 8000\nshop: sleep infinity\n"),
}
"""The same at the end of files and lists, where people add theirs; `uv add` does so for dependencies."""

MIGRATION = "migrations/versions/a1b2c3d4e5f6_parcels.py"
OWN_FILES = {
    "app/models/parcels.py": '''\
"""Parcels."""

from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base


class Parcel(Base):
    __tablename__ = "parcels"

    id: Mapped[int] = mapped_column(primary_key=True)
    article: Mapped[str]
''',
    "app/core/config/shop.py": '''\
"""The shop."""

from pydantic_settings import SettingsConfigDict

from app.core.config.base import ServiceSettings


class ShopSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_")

    currency: str = "EUR"
''',
    MIGRATION: '''\
"""parcels"""

import sqlalchemy as sa
from alembic import op

revision = "a1b2c3d4e5f6"
down_revision = "HEAD"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "parcels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("article", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parcels")),
    )


def downgrade() -> None:
    op.drop_table("parcels")
''',
}
OWN_TASK = {
    "app/tasks/invoices.py": '''\
"""Background work on invoices."""

from app.core.celery import celery_app


@celery_app.task(name="invoices.remind", exposed=True)
def remind(*, invoice_id: int) -> int:
    """Remind the customer of an invoice."""
    return invoice_id
''',
}
ROWS = (
    "INSERT INTO users (email, name) VALUES ('ada@example.com', 'Ada')",
    "INSERT INTO parcels (article) VALUES ('apple')",
)
SAME_VERSION = ("--vcs-ref", ":current:")
ASK_ROWS = "SELECT email, article FROM users, parcels"


def start_repository(service: Path) -> None:
    git(service, "init", "--quiet")
    commit(service, "Start")


def commit(service: Path, message: str = "Mine") -> None:
    git(service, "add", "--all")
    git(service, "commit", "--quiet", "--message", message)


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert text.count(before) == 1, f"{file} has {before!r} {text.count(before)} times"
    file.write_text(text.replace(before, after))


def write_own_files(service: Path, files: dict[str, str]) -> dict[str, bytes]:
    """Each file as it was written; the migration comes after the service's newest one."""
    newest = max((service / "migrations" / "versions").glob("0*.py")).name[:4]
    for name, text in files.items():
        (service / name).write_text(text.replace('"HEAD"', f'"{newest}"'))
    return {name: (service / name).read_bytes() for name in files}


def live_in(service: Path, combination: str, **env: str) -> dict[str, bytes]:
    """Make of it what it is after days of work; returns its user's own files."""
    render(service, **COMBINATIONS[combination])
    start_repository(service)
    install(service)
    own = write_own_files(service, OWN_FILES)
    for name, (before, after) in EDITS_AT_THE_END.items():
        edit(service / name, before, after)
    run(service, "uv", "add", "--quiet", "python-slugify>=8")
    run(service, "make", "migrate", "secrets", **env)
    commit(service)
    return own


def update(service: Path, version: str = "HEAD", **answers: Any) -> None:
    copier.run_update(service, data=answers, defaults=True, quiet=True, overwrite=True, vcs_ref=version)


def update_as_users_do(service: Path, *options: str, **answers: Any) -> str:
    """On the command line; its closing message."""
    data = [part for key, value in answers.items() for part in ("--data", f"{key}={value}")]
    command = [sys.executable, "-m", "copier", "update", "--defaults", *options, *data, str(service)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def follow(service: Path, message: str, **env: str) -> None:
    """Type what the closing message says, and whatever `make after-update` says then."""
    steps = commands(message)
    assert steps[0] == "make after-update"
    for step in commands(after_update(service, **env)):
        type_in(service, step, **env)
    assert "Nothing of yours is lost" in after_update(service, **env)
    for step in steps[1:]:
        type_in(service, step, **env)


def commands(message: str) -> list[str]:
    return [line.split("  #")[0].strip() for line in message.splitlines() if line.startswith("    ")]


def type_in(service: Path, command: str, **env: str) -> None:
    """As on its user's machine, which has no servers for the service's own tests."""
    run(service, "bash", "-c", command, CI="", **env)


def after_update(service: Path, **env: str) -> str:
    """What `make after-update` says, whether it fails or not."""
    command = ["make", "after-update"]
    done = subprocess.run(
        command, cwd=service, env=environment(service, **env), capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return done.stdout


def tree(service: Path) -> dict[str, bytes]:
    paths = (path for path in service.rglob("*") if path.is_file() and not {".git", ".venv"} & {*path.parts})
    return {str(path.relative_to(service)): path.read_bytes() for path in paths}


def answers_of(service: Path) -> list[str]:
    lines = (service / ".copier-answers.yml").read_text().splitlines()
    return [line for line in lines if not line.startswith("_commit:")]


def release_next(folder: Path, name: str, change: Callable[[Path], None]) -> str:
    """A version of the template that comes after this one, as a branch; returns its name."""
    git(rendering.snapshot, "clone", "--quiet", ".", str(folder))
    change(folder)
    commit(folder, "The next version")
    git(folder, "push", "--quiet", "origin", f"HEAD:refs/heads/{name}")
    return name


def undo(files: dict[str, bytes], edits: Iterable[tuple[str, tuple[str, str]]]) -> dict[str, bytes]:
    """The files without their user's edits, each of which must be there once."""
    undone = dict(files)
    for name, (before, after) in edits:
        text = files[name].decode()
        assert text.count(after) == 1, f"{name} has lost {after!r}"
        undone[name] = text.replace(after, before).encode()
    return undone


def ask_sqlite(file: Path, *statements: str) -> list[str]:
    """What the last of them finds, as PostgreSQL's psql would write it."""
    with closing(sqlite3.connect(file)) as connection, connection:
        found = [connection.execute(statement).fetchall() for statement in statements]
    return ["|".join(row) for row in found[-1]]
