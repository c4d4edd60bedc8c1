"""An operator brings the service into production, with the same files and without the development override."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rendering import git
from servers import wait_until
from stack.compose import HEALTHY_WITHIN, ONE_SHOTS, Stack, stack
from stack.conftest import make_secrets
from stack.image import files, places_of

SECRET = re.compile(r"^(\w+)=(?:(?:\w+(?:\+\w+)?://)?\w*:)?([\w-]{32,})(?:@|$)", re.MULTILINE)
SETTINGS_WITH_SECRETS = {
    "DATABASE_URL",
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "CELERY_RESULT_BACKEND",
    "FLOWER_BASIC_AUTH",
    "PAYMENTS_KEY",
    "WEBHOOKS_SECRET",
}
OTHER_REQUIRED_SETTINGS = {
    "SMTP_HOST",
    "SMTP_SENDER",
    "SMTP_LINKS_TO",
    "FILES_FOLDER",
    "PAYMENTS_URL",
    "WEBHOOKS_URL",
}
APP_USER = "10001:10001"
VOLUMES = ("postgres", "postgres-socket", "redis", "flower", "files")


def secrets(folder: Path) -> dict[str, str]:
    """By setting; of API keys it is the hash."""
    found = dict(SECRET.findall((folder / "secret" / ".env.production").read_text()))
    assert set(found) == SETTINGS_WITH_SECRETS | {"TASK_API_KEYS"}
    return found


@pytest.fixture(scope="module")
def running(production: Path, api_key: str) -> Iterator[Stack]:
    with stack(production, api_key=api_key) as running:
        running.compose("build", "--quiet")
        running.up("flower")  # before any worker is there
        assert running.up() < HEALTHY_WITHIN
        running.sql("CREATE TABLE proof (key text, event text, host text)")
        yield running
    assert running.left_behind() == []


def states(one: Stack) -> dict[str, str]:
    return {name: container.status for name, container in one.by_service().items()}


@pytest.mark.parametrize(
    ("example", "fault", "settings"),
    [
        (True, "still holds the placeholder CHANGE_ME", SETTINGS_WITH_SECRETS),
        (False, "Field required", SETTINGS_WITH_SECRETS | OTHER_REQUIRED_SETTINGS),
    ],
)
def test_it_does_not_start_without_real_secrets_and_says_what_to_do(
    service: Path, tmp_path: Path, example: bool, fault: str, settings: set[str]
) -> None:
    clone = tmp_path / service.name
    git(service, "clone", "--quiet", str(service), str(clone))
    if example:
        (clone / "secret" / ".env.production").write_bytes((clone / "secret" / ".env.production.example").read_bytes())
    with stack(clone) as one:
        one.compose("build", "--quiet")
        refused = one.attempt("up", "--wait")
        assert refused.returncode != 0
        assert 'service "settings" didn\'t complete successfully' in refused.stdout
        assert states(one) == {"settings": "exited"} | dict.fromkeys(set(states(one)) - {"settings"}, "created")
        said = one.compose("logs", "settings")
        assert set(re.findall(rf"(\w+): {fault}", said)) == settings
        assert "`make secrets`" in said

        make_secrets(clone)
        one.up()
        assert one.ailing() == {}


def test_nothing_had_to_start_twice(running: Stack) -> None:
    assert running.ailing() == {}
    assert {one.name for one in running.containers() if one.attrs["RestartCount"]} == set()


def test_no_process_is_root_and_none_has_capabilities(running: Stack) -> None:
    for name, container in running.by_service().items():
        assert container.attrs["HostConfig"]["CapDrop"] == ["ALL"], name
        assert not container.attrs["HostConfig"]["CapAdd"], name
        assert container.attrs["HostConfig"]["ReadonlyRootfs"], name
        if name in ONE_SHOTS:
            continue
        status = container.exec_run(["cat", "/proc/1/status"]).output.decode()
        assert not re.search(r"^Uid:.*\b0\b", status, re.MULTILINE), name
        assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE), name
    users = {name: container.attrs["Config"]["User"] for name, container in running.by_service().items()}
    assert users == dict.fromkeys(users, APP_USER) | {"postgres": "postgres", "redis": "redis", "cache": "redis"}


def test_only_the_api_is_open_beyond_this_machine(running: Stack) -> None:
    api, flower = running.ports["API_PORT"], running.ports["FLOWER_PORT"]
    published = running.published()
    assert ("0.0.0.0", api) in published.pop("api")  # noqa: S104 (to compare with)
    assert published == {"flower": {("127.0.0.1", flower)}}


def test_secrets_are_mounted_and_cannot_be_changed(running: Stack) -> None:
    mounts = {
        name: [(mount["Source"], mount["RW"]) for mount in container.attrs["Mounts"] if mount["Type"] == "bind"]
        for name, container in running.by_service().items()
    }
    expected = [(str(running.folder / "secret"), False)]
    assert {name: there for name, there in mounts.items() if there != expected} == {}


def test_no_volume_is_anonymous(running: Stack) -> None:
    """`down --volumes` forgets those of containers that were made anew."""
    volumes = {
        mount["Name"]
        for container in running.containers()
        for mount in container.attrs["Mounts"]
        if mount["Type"] == "volume"
    }
    assert volumes == {f"{running.project}_{name}" for name in VOLUMES}


def test_no_secret_shows_in_what_docker_tells_of_containers_and_processes(running: Stack) -> None:
    values = secrets(running.folder).values()
    for name, container in running.by_service().items():
        told = json.dumps(container.attrs)
        if name not in ONE_SHOTS:
            told += json.dumps(container.top())
        assert not [value for value in values if value in told], name
    logs = running.compose("logs", "--no-color")
    assert not [value for value in values if value in logs]


def test_the_image_holds_no_secret_and_no_test(running: Stack, engine: Any) -> None:
    image = running.folder.name
    assert places_of(engine, image, secrets(running.folder).values()) == []
    names = [name for name, _ in files(engine, image)]
    ours = {name.split("/")[2] for name in names if name.startswith("/app/")}
    assert ours == {"app", "migrations", "alembic.ini", "flowerconfig.py", "__pycache__", "pyproject.toml", "uv.lock"}
    assert not [name for name in names if name.startswith("/app/") and re.search(r"/test|/secret/|\.env", name)]
    assert not [name for name in names if re.search(r"/(uv|uvx|gcc|cc|make|ruff|mypy|pytest)$", name)]


def test_a_secret_in_an_image_is_caught(running: Stack, engine: Any) -> None:
    (value, *_) = secrets(running.folder).values()
    with io.BytesIO() as leak:
        with tarfile.open(fileobj=leak, mode="w") as tar:
            member = tarfile.TarInfo("leak")
            member.size = len(value)
            tar.addfile(member, io.BytesIO(value.encode()))
        container = engine.containers.create(running.folder.name)
        container.put_archive("/app/app", leak.getvalue())
        image = container.commit(changes=f"ENV LEAK={value}")
        container.remove()
    try:
        assert places_of(engine, image.id, [value]) == ["settings", "/app/app/leak"]
    finally:
        engine.images.remove(image.id)


def test_redis_and_postgresql_ask_for_the_password(running: Stack) -> None:
    assert "NOAUTH" in running.compose("exec", "--no-TTY", "redis", "redis-cli", "ping")
    assert "NOAUTH" in running.compose("exec", "--no-TTY", "cache", "redis-cli", "ping")
    connect = "psql -w -h postgres -U app -c 'SELECT 1'"
    assert "no password supplied" in running.attempt("exec", "--no-TTY", "postgres", "sh", "-c", connect).stdout


def test_the_broker_keeps_everything_and_the_cache_only_what_is_used(running: Stack) -> None:
    def setting(service: str, name: str) -> str:
        ask = f"REDISCLI_AUTH=$(sed -n 's/^requirepass //p' /tmp/redis.conf) redis-cli config get {name}"
        return running.compose("exec", "--no-TTY", service, "sh", "-c", ask).split()[-1]

    assert [setting("redis", name) for name in ("appendonly", "appendfsync", "maxmemory-policy")] == [
        "yes",
        "everysec",
        "noeviction",
    ]
    assert [setting("cache", name) for name in ("appendonly", "maxmemory-policy")] == ["no", "allkeys-lru"]


def test_flower_asks_for_the_password_and_sees_what_it_started_before(running: Stack) -> None:
    user, password = "admin", secrets(running.folder)["FLOWER_BASIC_AUTH"]
    task_id = running.queue("proof.work", key="seen")
    running.wait_for(task_id, "SUCCESS")
    address = f"{running.flower_url}/api/task/info/{task_id}"
    assert httpx2.get(address).status_code == 401
    assert httpx2.get(address, auth=(user, "development")).status_code == 401
    wait_until(lambda: httpx2.get(address, auth=(user, password)).json()["state"] == "SUCCESS")


def test_a_worker_reads_the_file_that_the_api_was_sent(running: Stack) -> None:
    running.sql("INSERT INTO users (email, name) VALUES ('ada@example.org', 'Ada')")
    rows = (
        "reference,email,total_cents,currency,ordered_at\n1,ada@example.org,1250,EUR,2026-10-01T12:00:00Z\n"
        "2,nobody@example.org,1250,EUR,2026-10-01T12:00:00Z\n"
    )
    answer = running.api.post("/api/v1/imports", content=rows, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 202, answer.text
    result = running.wait_for(answer.json()["task_id"], "SUCCESS")["result"]
    assert running.sql("SELECT reference, total_cents FROM orders") == ["1|1250"]
    assert "nobody@example.org" in running.api.get(result["report"]).raise_for_status().text


def test_a_backup_of_the_images_own_program_can_be_restored(running: Stack) -> None:
    running.wait_for(running.queue("upkeep.back_up_database"), "SUCCESS")
    inside = ("exec", "--no-TTY", "--env", f"PGPASSWORD={secrets(running.folder)['DATABASE_URL']}", "worker")
    (backup,) = running.compose(*inside, "sh", "-c", "ls /files/backups/*.dump").split()
    running.sql("CREATE DATABASE restored")
    running.compose(
        *inside, "pg_restore", "--exit-on-error", "--host=postgres", "--username=app", "-d", "restored", backup
    )
    everything = "SELECT email FROM users ORDER BY id"
    assert running.sql(everything, "restored") == running.sql(everything) != []


def test_three_workers_share_the_work(running: Stack) -> None:
    running.up("--no-recreate", "--scale", "worker=3")
    tasks = [running.queue("proof.work", key=f"shared-{number}", seconds=1) for number in range(12)]
    for task in tasks:
        running.wait_for(task, "SUCCESS")
    hosts = running.sql("SELECT host, count(*) FROM proof WHERE key LIKE 'shared-%' AND event = 'done' GROUP BY host")
    assert {row.split("|")[0] for row in hosts} == running.hosts("worker")
    running.up("--no-recreate", "--scale", "worker=1")
