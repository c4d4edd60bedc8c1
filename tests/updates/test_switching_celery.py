"""Celery switched on in a service that has lived without it, and off again."""

import re
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from rendering import git, run
from servers import PostgresServer, RedisServer
from updates.lived_in import (
    ASK_ROWS,
    EDITS_AT_THE_END,
    KEPT,
    ROWS,
    SAME_VERSION,
    after_update,
    ask_sqlite,
    commands,
    follow,
    live_in,
    tree,
    type_in,
    undo,
    update_as_users_do,
)
from workers.processes import KEY, Service

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("before", ["bare-sqlite", "redis-postgresql"])
def test_celery_is_switched_on_in_a_service_that_has_lived_without_it(
    tmp_path: Path, postgres_server: PostgresServer, redis_server: RedisServer, before: str
) -> None:
    service = tmp_path / "mein schöner service"
    if before.endswith("postgresql"):
        address = postgres_server.create_database("lived_in")
        ask = partial(postgres_server.query, database="lived_in")
    else:
        address = "sqlite+aiosqlite:///service.db"
        ask = partial(ask_sqlite, service / "service.db")
    own = live_in(service, before, DATABASE_URL=address)
    for statement in ROWS:
        ask(statement)
    secrets = (service / KEPT[1]).read_text()

    message = update_as_users_do(service, *SAME_VERSION, use_celery="true")
    assert not git(service, "ls-files", "--unmerged")
    follow(service, message, DATABASE_URL=address)

    assert own.items() <= undo(tree(service), EDITS_AT_THE_END.items()).items()
    assert (service / KEPT[1]).read_text().startswith(secrets)
    run(service, "python", "-m", "app.core.config", APP_ENV="production")
    run(service, "python", "-c", "import slugify")
    assert ask(ASK_ROWS) == ["ada@example.com|apple"]

    settings = {
        "APP_ENV": "development",
        "DATABASE_URL": address,
        "REDIS_URL": redis_server.url(900),
        "CELERY_BROKER_URL": redis_server.url(901),
        "CELERY_RESULT_BACKEND": redis_server.url(902),
        "TASK_API_KEYS": f"tests:{sha256(KEY.encode()).hexdigest()}",
    }
    updated = Service(service, postgres_server, "lived_in", settings)
    with updated.api() as api, updated.worker():
        queued = api.client.post(f"{api.url}/api/v1/tasks/reports.activity", json={"days": 7})
        assert queued.status_code == 202, queued.text
        ended = api.client.get(f"{api.url}{queued.headers['Location']}?wait=30", timeout=40).json()
    assert (ended["status"], len(ended["result"])) == ("SUCCESS", 7), ended


def test_celery_is_switched_off_where_databases_have_its_tables(tmp_path: Path) -> None:
    service = tmp_path / "mein schöner service"
    own = live_in(service, "celery-sqlite")
    ask_sqlite(service / "service.db", *ROWS)
    production = tmp_path / "production.db"
    production.write_bytes((service / "service.db").read_bytes())

    message = update_as_users_do(service, *SAME_VERSION, use_celery="false", use_redis="false")
    with pytest.raises(AssertionError, match=r"KeyError: '0003'"):
        run(service, "uv", "run", "alembic", "upgrade", "head")
    for step in commands(after_update(service)):
        type_in(service, step)
    settings = service / KEPT[1]
    unread = re.findall(r"sets what nothing reads any longer: (.*)", after_update(service))[0].split(", ")
    settings.write_text(re.sub(rf"^({'|'.join(unread)})=.*\n", "", settings.read_text(), flags=re.MULTILINE))
    follow(service, message)

    assert own.items() <= undo(tree(service), EDITS_AT_THE_END.items()).items()
    run(service, "alembic", "upgrade", "head", DATABASE_URL=f"sqlite+aiosqlite:///{production}")
    assert ask_sqlite(production, ASK_ROWS) == ["ada@example.com|apple"]
    tables = ask_sqlite(production, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    assert tables == ["alembic_version", "parcels", "users"]
