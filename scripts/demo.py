"""Renders a service, starts it, queues a task over REST and shows it succeed: `make demo`.

DEST is where it is rendered (a temporary folder unless set). With DEMO_EXIT=1 everything ends after the task.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import copier
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[1]
LOCAL = "127.0.0.1"
START_SECONDS = 60
TASK_SECONDS = 60


def main() -> None:
    chosen = os.environ.get("DEST")
    destination = Path(chosen) if chosen else Path(tempfile.mkdtemp(prefix="demo-")) / "my-service"
    if destination.exists() and any(destination.iterdir()):
        raise SystemExit(f"{destination} is not empty; name another folder: make demo DEST=...")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a script started us in the background

    say(f"rendering a service into {destination}")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    copier.run_copy(str(ROOT), destination, data={"python_version": version}, defaults=True, quiet=True, vcs_ref="HEAD")
    say("installing what it needs")
    environment = os.environ | {"VIRTUAL_ENV": "", "UV_PYTHON": sys.executable}
    subprocess.run([find_uv_bin(), "sync", "--locked", "--quiet"], cwd=destination, env=environment, check=True)

    try:
        with ExitStack() as stack:
            show(destination, stack)
    except KeyboardInterrupt:
        say("ended")
    finally:
        if not chosen:
            shutil.rmtree(destination.parent)


def show(service: Path, stack: ExitStack) -> None:
    api_port, redis_port = free_port(), free_port()
    api, redis = f"http://{LOCAL}:{api_port}", f"redis://{LOCAL}:{redis_port}"
    settings = {
        "APP_ENV": "development",
        "REDIS_URL": f"{redis}/0",
        "CELERY_BROKER_URL": f"{redis}/1",
        "CELERY_RESULT_BACKEND": f"{redis}/2",
    }
    environment = os.environ | settings | {"PATH": f"{service / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    log = service / "demo.log"

    def start(*command: str) -> None:
        stack.enter_context(running(command, service, environment, log))

    if shutil.which("redis-server"):
        start("redis-server", "--port", str(redis_port), "--bind", LOCAL, "--save", "")
    else:
        say("no redis-server at hand: an embedded one stands in")
        start("python", "-m", "scripts.embedded_redis")
    subprocess.run(["alembic", "upgrade", "head"], cwd=service, env=environment, check=True, stderr=subprocess.DEVNULL)
    start("uvicorn", "app.main:app", "--port", str(api_port))
    start("celery", "-A", "app.core.celery:celery_app", "worker", "--loglevel", "INFO")
    start("celery", "-A", "app.core.celery:celery_app", "beat", "--loglevel", "INFO")
    say(f"starting API, worker and beat; they write to {log}")
    wait_until_healthy(f"{api}/health/celery", log)

    user = {"email": "ada@example.com", "name": "Ada"}
    call("POST", f"{api}/api/v1/users", user)
    body = {"days": 366}
    say(f"POST {api}/api/v1/tasks/reports.activity {json.dumps(body)}")
    queued = call("POST", f"{api}/api/v1/tasks/reports.activity", body)
    follow(f"{api}/api/v1/tasks/{queued['task_id']}", queued["status"])

    if os.environ.get("DEMO_EXIT") == "1":
        return
    say("running until Ctrl-C:")
    say(f"  API      {api}/docs\n  schedule {api}/api/v1/schedule\n  health   {api}/health/celery")
    say(f"  Redis    {redis}\n  service  {service}")
    signal.pause()


def follow(task: str, status: str) -> None:
    """Print the states of a task as they change, up to SUCCESS; SystemExit if it ends otherwise."""
    say(f"  {status}")
    deadline = time.monotonic() + TASK_SECONDS
    while time.monotonic() < deadline:
        state = call("GET", task)
        if state["status"] != status:
            status = state["status"]
            progress = state["progress"]
            say(f"  {status}" + (f" {progress['current']} of {progress['total']}" if progress else ""))
        if status == "SUCCESS":
            return
        if status in ("FAILURE", "REVOKED"):
            raise SystemExit(f"the task ended in {status}: {state['error']}")
        time.sleep(0.02)
    raise SystemExit(f"the task was still {status} after {TASK_SECONDS} seconds")


@contextmanager
def running(command: tuple[str, ...], folder: Path, environment: dict[str, str], log: Path) -> Iterator[None]:
    """Run it in a session of its own, so that Ctrl-C reaches it from here only: as SIGTERM, in good order."""
    with log.open("ab") as output:
        program = shutil.which(command[0], path=environment["PATH"]) or command[0]
        process = subprocess.Popen(
            [program, *command[1:]],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_healthy(url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            call("GET", url)
        except OSError:  # not there yet, or 503 because no worker is
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"{url} did not answer within {START_SECONDS} seconds; the log says:\n{log.read_text()[-3000:]}")


def call(method: str, url: str, body: dict[str, Any] | None = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def free_port() -> int:
    with socket.create_server((LOCAL, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
