from pathlib import Path
from typing import Any

import copier
import pytest
import rendering
from rendering import ROOMS, ROOT, empty_folders, git, render, take_snapshot

KEPT = ("uv.lock", "secret/.env.production")
"""Left as they are by an update, on purpose: `uv lock` and `make secrets` bring them up to date."""

UNUSUAL: dict[str, Any] = {
    "project_name": "Zoë's Shop #1",
    "project_slug": "shop-1",
    "project_description": "Sells, and remembers.",
    "database": "sqlite",
    "use_celery": True,
}


def start_repository(service: Path) -> None:
    git(service, "init", "--quiet")
    git(service, "add", "--all")
    git(service, "commit", "--quiet", "--message", "Start")


def update(service: Path, **answers: Any) -> None:
    copier.run_update(service, data=answers, defaults=True, quiet=True, overwrite=True, vcs_ref="HEAD")


def tree(service: Path) -> dict[str, bytes]:
    paths = (path for path in service.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(service)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("after", ROOMS)
@pytest.mark.parametrize("before", ROOMS)
def test_after_a_change_of_rooms_a_service_equals_a_fresh_one(tmp_path: Path, before: str, after: str) -> None:
    service = render(tmp_path / "service", **ROOMS[before])
    start_repository(service)
    kept = {name: (service / name).read_bytes() for name in KEPT}
    update(service, **ROOMS[after])
    expected = tree(render(tmp_path / "fresh" / "service", **ROOMS[after]))
    assert tree(service) == expected | kept
    assert not empty_folders(service)


@pytest.mark.parametrize(("before", "after"), [("postgresql", "sqlite"), ("sqlite", "postgresql")])
def test_after_a_change_of_database_a_service_equals_a_fresh_one(tmp_path: Path, before: str, after: str) -> None:
    service = render(tmp_path / "service", database=before)
    start_repository(service)
    kept = {name: (service / name).read_bytes() for name in KEPT}
    update(service, database=after)
    assert tree(service) == tree(render(tmp_path / "fresh" / "service", database=after)) | kept


@pytest.mark.parametrize("version", [*git(ROOT, "tag", "--list", "v*").split(), "HEAD"])
def test_an_update_keeps_edits_answers_and_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    template = take_snapshot(tmp_path / "template")
    monkeypatch.setattr(rendering, "snapshot", template)
    service = render(tmp_path / "mein schöner service", version=version, **UNUSUAL)
    start_repository(service)
    secrets = "APP_NAME=Mine\nDATABASE_URL=sqlite+aiosqlite:////data/mine.db\n# and my own remark\n"
    (service / "secret" / ".env.production").write_text(secrets)
    (service / "app" / "tasks" / "invoices.py").write_text('"""My own tasks."""\n')
    edited = [
        "app/tasks/reports.py",
        "README.md",
        "Makefile",
        "pyproject.toml",
        "secret/.env.development",
        ".gitignore",
    ]
    for name in edited:
        (service / name).write_text((service / name).read_text() + "\n# my own remark\n")
    git(service, "add", "--all")
    git(service, "commit", "--quiet", "--message", "Edits")
    lock = (service / "uv.lock").read_bytes()
    answers = answers_of(service)

    for name in ("app/main.py", "Makefile.jinja"):
        changed = template / "template" / name
        changed.write_text(f"# of the next version\n{changed.read_text()}")
    git(template, "commit", "--quiet", "--all", "--message", "The next version")
    update(service)

    assert (service / "app" / "main.py").read_text().startswith("# of the next version\n")
    assert (service / "Makefile").read_text().startswith("# of the next version\n")
    for name in edited:
        assert (service / name).read_text().endswith("\n# my own remark\n"), name
    assert (service / "app" / "tasks" / "invoices.py").read_text() == '"""My own tasks."""\n'
    assert (service / "secret" / ".env.production").read_text() == secrets
    assert (service / "uv.lock").read_bytes() == lock
    assert answers_of(service) == answers
    assert "UU" not in git(service, "status", "--short")
    git(service, "diff", "--check")


def answers_of(service: Path) -> list[str]:
    lines = (service / ".copier-answers.yml").read_text().splitlines()
    return [line for line in lines if not line.startswith("_commit:")]
