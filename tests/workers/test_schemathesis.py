"""Whatever is sent, the answers of a running service are as its OpenAPI document says, and none is a 5xx."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from servers import HOST, free_port
from uv import find_uv_bin
from workers.processes import Api, Service

HERE = Path(__file__).parent
KEY = "a-key-of-those-who-send-anything"
COMMAND = [
    "tool",
    "run",
    "--from",
    "schemathesis==4.32.5",
    "schemathesis",
    "--config-file",
    str(HERE / "schemathesis.toml"),
]
OPTIONS = {
    "--seed": "1",
    "--request-timeout": "15",
    "--header": f"Authorization: Bearer {KEY}",
    "--warnings": "off",
    "--no-color": "",
}


@pytest.mark.slow
def test_every_answer_is_as_documented(
    new_service: Callable[[], Service], celery_service: Path, tmp_path: Path
) -> None:
    service = replace(new_service(), folder=celery_service).set(  # without the tasks that the other tests add
        TASK_API_KEYS=f"admin:{sha256(KEY.encode()).hexdigest()}",
        TASK_API_UNFINISHED_LIMIT="1000000",
        TASK_API_LONGEST_WAIT="0.5",
    )
    with service.worker("-c", "2") as worker, service.api() as api:
        send_anything(api, tmp_path, examples=200)

    assert worker.events("task succeeded")
    assert worker.events("task failed") == []
    assert "Traceback" not in api.log() + worker.log()


@pytest.mark.slow
def test_every_answer_of_the_cookbook_is_as_documented_also_where_those_whom_it_calls_are_away(
    new_service: Callable[[], Service], whole_service: Path, tmp_path: Path
) -> None:
    nobody = f"http://{HOST}:{free_port()}"
    service = replace(new_service(), folder=whole_service).set(
        TASK_API_KEYS=f"admin:{sha256(KEY.encode()).hexdigest()}",
        TASK_API_UNFINISHED_LIMIT="1000000",
        TASK_API_LONGEST_WAIT="0.5",
        SMTP_HOST=HOST,
        SMTP_PORT=str(free_port()),
        SMTP_SENDER="service@example.org",
        SMTP_LINKS_TO="http://service.example.org",
        FILES_FOLDER=str(tmp_path / "files"),
        PAYMENTS_URL=nobody,
        PAYMENTS_KEY="key of payments",
        WEBHOOKS_SECRET="secret of webhooks",
        WEBHOOKS_URL=nobody,
    )
    service.run("alembic", "upgrade", "head")
    with service.worker("-c", "2") as worker, service.api() as api:
        send_anything(api, tmp_path, examples=40)

    assert worker.events("task succeeded")
    assert "Traceback" not in api.log()


def send_anything(api: Api, folder: Path, *, examples: int) -> None:
    options = [word for option in OPTIONS.items() for word in option if word]
    done = subprocess.run(
        [find_uv_bin(), *COMMAND, "run", f"{api.url}/openapi.json", "--max-examples", str(examples), *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout
