"""Renews hooks/locks: for maintainers, after a change of dependencies. `python hooks/relock.py [--upgrade]`.

Renders each combination of rooms and databases, lets uv resolve it, and keeps its lock with the name of the service
left open. Without --upgrade, versions stay as they were where they can.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import copier
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "hooks" / "locks"
ROOMS = {"bare": (False, False), "redis": (False, True), "celery": (True, True)}
DATABASES = ("postgresql", "sqlite")
PUBLIC_INDEX = "https://pypi.org/simple"


def relock(rooms: str, database: str, *, upgrade: bool) -> None:
    use_celery, use_redis = ROOMS[rooms]
    fragment = LOCKS / f"{rooms}-{database}.lock"
    with tempfile.TemporaryDirectory() as folder:
        service = Path(folder)
        copier.run_copy(
            str(ROOT),
            service,
            data={"project_slug": "name-of-service", "database": database, "use_celery": use_celery}
            | ({} if use_celery else {"use_redis": use_redis}),
            defaults=True,
            quiet=True,
            vcs_ref="HEAD",
            exclude=["/uv.lock"],
        )
        lock = service / "uv.lock"
        if fragment.exists():
            lock.write_text(fragment.read_text().replace("{{ project_slug }}", "name-of-service"))
        subprocess.run([find_uv_bin(), "lock", "--quiet", *(["--upgrade"] if upgrade else [])], cwd=service, check=True)
        text = lock.read_text()
    if any(mark in text for mark in ("{{", "{%", "{#")):
        raise SystemExit(f"{fragment.name}: the lock itself holds what Jinja would read")
    sources = {line.split('"')[1] for line in text.splitlines() if line.startswith("source = { registry")}
    if sources != {PUBLIC_INDEX}:
        raise SystemExit(f"{fragment.name}: locked from {sources}; unset the index that this machine is set to")
    fragment.write_text(text.replace("name-of-service", "{{ project_slug }}"))


if __name__ == "__main__":
    LOCKS.mkdir(exist_ok=True)
    for name in ROOMS:
        for database in DATABASES:
            relock(name, database, upgrade="--upgrade" in sys.argv[1:])
            print(f"{name}-{database}.lock")
