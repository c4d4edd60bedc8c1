"""Which files are taken away."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.core import stored_files
from app.services import old_files

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)


@pytest.fixture(autouse=True)
def _folders() -> None:
    """Empty."""
    for name in old_files.FOLDERS:
        stored_files.remove(stored_files.folder(name))


def file(path: Path, changed_at: datetime = LONG_AGO) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("content")
    for each in (path, path.parent):
        os.utime(each, (changed_at.timestamp(), changed_at.timestamp()))
    return path


@pytest.mark.parametrize(
    "name", ["imports/1.csv", "imports/1.bad.csv", "imports/1.csv.2.part", "images/1/original", "exports/1.csv"]
)
def test_what_is_older_is_removed(name: str) -> None:
    path = file(stored_files.folder() / name)
    assert old_files.remove_old(LONG_AGO) == 0
    assert path.exists()
    assert old_files.remove_old(LONG_AGO + timedelta(seconds=1)) == 1
    assert list(stored_files.folder(name.partition("/")[0]).iterdir()) == []
    assert old_files.remove_old(NOW) == 0


def test_a_folder_stays_as_long_as_anything_in_it_is_new() -> None:
    folder = stored_files.folder("images") / "1"
    new = file(folder / "thumbnail.webp", NOW)
    old = file(folder / "original")
    assert old_files.remove_old(NOW) == 0
    assert (old.exists(), new.exists()) == (True, True)


def test_a_file_that_is_being_written_stays() -> None:
    path = file(stored_files.folder("imports") / "1.csv.2.part")
    with path.open("a") as part:
        part.write("more")
        part.flush()
        assert old_files.remove_old(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert path.exists()


def test_links_are_not_followed(tmp_path: Path) -> None:
    kept = file(tmp_path / "elsewhere" / "kept")
    links = [stored_files.folder("imports") / "link", stored_files.folder("images") / "link"]
    links[0].symlink_to(kept)
    links[1].symlink_to(kept.parent)
    inside = file(stored_files.folder("images") / "1" / "original").with_name("link")
    inside.symlink_to(kept.parent)
    old_files.remove_old(datetime.now(UTC) + timedelta(days=1))
    assert kept.exists()
    assert all(link.is_symlink() for link in links)
    assert not inside.is_symlink()


def test_other_folders_stay() -> None:
    paths = [file(stored_files.folder() / name / "1") for name in ("backups", "reports", "others")]
    old_files.remove_old(NOW)
    assert all(path.exists() for path in paths)


def test_what_cannot_be_removed_keeps_nothing_else(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[dict[str, Any]]]
) -> None:
    for number in range(3):
        file(stored_files.folder("imports") / f"{number}.csv")
    remove = stored_files.remove

    def remove_some(path: Path) -> None:
        if path.name == "0.csv":
            remove(path)
            raise FileNotFoundError  # somebody else was quicker
        if path.name != "1.csv":
            remove(path)

    monkeypatch.setattr(stored_files, "remove", remove_some)
    assert old_files.remove_old(NOW) == 1
    assert [path.name for path in stored_files.folder("imports").iterdir()] == ["1.csv"]
    assert [entry["level"] for entry in log() if entry["event"] == "an old file cannot be removed"] == ["warning"]
