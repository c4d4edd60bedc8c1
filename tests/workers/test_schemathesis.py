"""Whatever is sent, the answers of a running service are as its OpenAPI document says, and none is a 5xx."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from uv import find_uv_bin
from workers.processes import Service

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
    "--max-examples": "200",
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
    options = [word for option in OPTIONS.items() for word in option if word]
    with service.worker("-c", "2") as worker, service.api() as api:
        done = subprocess.run(
            [find_uv_bin(), *COMMAND, "run", f"{api.url}/openapi.json", *options],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(HERE)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout
    assert worker.events("task succeeded")
    assert worker.events("task failed") == []
    assert "Traceback" not in api.log() + worker.log()
