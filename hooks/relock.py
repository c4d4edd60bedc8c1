"""Renews hooks/locks: for maintainers, after a change of dependencies. `make relock`, or with UPGRADE=1.

Renders each combination of rooms and databases, lets uv resolve it, and keeps its lock with the name of the service
left open. Without --upgrade, versions stay as they were where they can. The image takes the uv that made the locks.
"""

import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from rendering import COMBINATIONS, ROOT, render
from uv import find_uv_bin

LOCKS = ROOT / "hooks" / "locks"
DOCKERFILE = ROOT / "template" / "Dockerfile.jinja"
PUBLIC_INDEX = "https://pypi.org/simple"


def relock(combination: str, *, upgrade: bool) -> None:
    fragment = LOCKS / f"{combination}.lock"
    with tempfile.TemporaryDirectory() as folder:
        answers = COMBINATIONS[combination] | {"project_slug": "name-of-service"}
        service = render(Path(folder), exclude=["/uv.lock"], **answers)
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
    for name in COMBINATIONS:
        relock(name, upgrade="--upgrade" in sys.argv[1:])
        print(f"{name}.lock")
    DOCKERFILE.write_text(re.sub(r"(?<=astral-sh/uv:)[\d.]+", version("uv"), DOCKERFILE.read_text()))
