"""Renders services as people do: with Copier's public API, and nothing that would need `--trust`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import copier
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[1]
ROOMS: dict[str, dict[str, Any]] = {
    "bare": {"use_celery": False, "use_redis": False},
    "redis": {"use_celery": False, "use_redis": True},
    "celery": {"use_celery": True, "use_examples": False},
    "examples": {"use_celery": True, "use_examples": True},
}
DATABASES = ("postgresql", "sqlite")
COMBINATIONS: dict[str, dict[str, Any]] = {
    f"{rooms}-{database}": ROOMS[rooms] | {"database": database} for rooms, database in product(ROOMS, DATABASES)
}
OTHER_ANSWERS: dict[str, dict[str, Any]] = {
    "3.11": {
        "project_name": "Zoë's Café #1",
        "project_slug": "a1",
        "project_description": "Sells: bread, 'cakes' & tea.",
    },
    "3.12": {
        "project_name": "日本語のサービス",
        "project_slug": "zz-last",
        "project_description": "注文を受ける。",
    },
    "3.13": {"project_name": "Orders"},
    "3.14": {"project_name": "n" * 60, "project_slug": "s" * 40, "project_description": "d" * 200},
}
"""The answers that turn no room on or off, by version of Python: slugs that sort first and last, the longest."""
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
INHERITED = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "CI", "SSL_CERT_FILE", "UV_")
"""What a service sees of this process's variables; it would take others for settings of its own."""

snapshot = ROOT
"""The repository that services are rendered from; conftest.py puts the session's snapshot here."""


def take_snapshot(destination: Path) -> Path:
    """Clone this repository, tags and all, and commit to the clone whatever is not committed here."""
    git(ROOT, "clone", "--quiet", str(ROOT), str(destination))
    git(destination, "rm", "--quiet", "-r", "--cached", ".")
    for old in destination.iterdir():
        if old.name != ".git":
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    for name in list_files():
        (destination / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, destination / name, follow_symlinks=False)
    git(destination, "add", "--all")
    git(destination, "commit", "--quiet", "--allow-empty", "--message", "Snapshot of the working tree")
    return destination


def list_files(folder: str = ".") -> list[str]:
    """The files of this repository as they lie, committed or not, without those that Git is told to ignore."""
    names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder).split("\0")
    return sorted(name for name in names if name and (ROOT / name).is_file())


def render(destination: Path, *, version: str = "HEAD", exclude: Sequence[str] = (), **answers: Any) -> Path:
    """Render a service into `destination`; for the rest of the answers, the defaults and the Python that runs here."""
    copier.run_copy(
        str(snapshot),
        destination,
        data={"python_version": PYTHON_VERSION} | answers,
        defaults=True,
        quiet=True,
        vcs_ref=version,
        exclude=exclude,
    )
    return destination


def copier_copy(destination: Path, *options: str, **answers: Any) -> list[str]:
    """The command that renders a service, as people type it: without `--trust`."""
    data = [part for key, value in answers.items() for part in ("--data", f"{key}={value}")]
    copier = [sys.executable, "-m", "copier", "copy", "--vcs-ref", "HEAD", *options]
    return [*copier, *data, str(snapshot), str(destination)]


def install(service: Path, *options: str, **env: str) -> None:
    """Install what the service's lock says, into its own `.venv`."""
    run(service, "uv", "sync", "--locked", "--quiet", *options, **env)


def run(service: Path, *command: str, **env: str) -> str:
    """What a command prints, run in the service's folder and environment; AssertionError with it all when it fails."""
    done = subprocess.run(
        command,
        cwd=service,
        env=environment(service, **env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def environment(service: Path, **env: str) -> dict[str, str]:
    """A shell's variables in which `uv` and the service's own programs are found."""
    inherited = {key: value for key, value in os.environ.items() if key.startswith(INHERITED)}
    path = os.pathsep.join([str(service / ".venv" / "bin"), str(Path(find_uv_bin()).parent), inherited["PATH"]])
    return inherited | {"PATH": path, "UV_PYTHON": sys.executable} | env


def find_python(version: str) -> str | None:
    """Where that Python is on this machine; nothing if it is not."""
    # the commands that pyenv puts in the way are those of one version at a time
    folders = [str(folder) for folder in Path.home().glob(".pyenv/versions/*/bin")]
    path = os.pathsep.join([*folders, os.environ["PATH"]])
    command = [find_uv_bin(), "python", "find", "--no-project", "--no-python-downloads", version]
    found = subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else None


def empty_folders(service: Path) -> list[Path]:
    folders = (path for path in service.rglob("*") if path.is_dir() and ".git" not in path.parts)
    return [folder for folder in folders if not any(folder.iterdir())]


def git(repository: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=repository, check=True, capture_output=True, text=True).stdout
