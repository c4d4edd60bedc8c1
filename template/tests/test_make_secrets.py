"""`make secrets`: fills in secret/.env.production."""

import os
import re
import stat
import struct
import sys
from pathlib import Path

import pytest

from app.core.config.base import SECRET_DIR
from scripts import make_secrets
from scripts.make_secrets import complete

MODEL = """\
# A comment.
APP_NAME=Service
DATABASE_URL=db://app:CHANGE_ME_DATABASE_PASSWORD@db/app

FIRST_URL=store://:CHANGE_ME_STORE_PASSWORD@store/1
SECOND_URL=store://:CHANGE_ME_STORE_PASSWORD@store/2
"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".env.production.example").write_text(MODEL)
    monkeypatch.setattr(make_secrets, "TARGET", tmp_path / ".env.production")
    return tmp_path / ".env.production"


def secret(text: str, key: str) -> str:
    found = re.search(rf"^{key}=\w+://\w*:(.*)@", text, re.MULTILINE)
    assert found
    return found[1]


def is_closed(file: Path) -> bool:
    return not file.stat().st_mode & stat.S_IRWXO


def test_each_placeholder_becomes_a_long_random_value() -> None:
    first, second = complete("", MODEL), complete("", MODEL)
    assert "CHANGE_ME" not in first
    assert len(secret(first, "DATABASE_URL")) >= 32
    assert secret(first, "DATABASE_URL") != secret(second, "DATABASE_URL")
    assert secret(first, "DATABASE_URL") != secret(first, "FIRST_URL")
    assert first.startswith("# A comment.\nAPP_NAME=Service\n")


def test_the_same_placeholder_becomes_the_same_value() -> None:
    text = complete("", MODEL)
    assert secret(text, "FIRST_URL") == secret(text, "SECOND_URL")


def test_what_is_there_is_kept() -> None:
    current = "APP_NAME=Mine\nDATABASE_URL=db://me:my-own@elsewhere/app\nOTHER=1\n"
    assert complete(current, MODEL).startswith(current)


def test_what_is_complete_is_left_as_it_is() -> None:
    text = complete("", MODEL)
    assert complete(text, MODEL) == text


def test_a_missing_setting_is_added_and_shares_the_secret_of_the_others() -> None:
    text = complete("", MODEL)
    without = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("SECOND_URL"))
    added = complete(without, MODEL)
    assert added.startswith(without)
    assert secret(added, "SECOND_URL") == secret(text, "FIRST_URL")


def test_a_file_without_a_last_line_end_is_completed_line_by_line() -> None:
    assert complete("APP_NAME=Mine", MODEL).splitlines()[:1] == ["APP_NAME=Mine"]


def test_it_names_the_settings_and_prints_no_secret(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_secrets.main()
    printed = capsys.readouterr()
    text = target.read_text()
    assert "DATABASE_URL" in printed.out
    assert "FIRST_URL" in printed.out
    for key in ("DATABASE_URL", "FIRST_URL"):
        assert secret(text, key) not in printed.out + printed.err


def test_the_file_is_closed_to_others(target: Path) -> None:
    make_secrets.main()
    assert is_closed(target)
    target.chmod(0o644)
    make_secrets.main()  # nothing to add
    assert is_closed(target)
    target.write_text("APP_NAME=Mine\n")
    target.chmod(0o644)
    make_secrets.main()
    assert is_closed(target)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere containers read what their owner may")
def test_the_file_is_open_to_the_group_of_the_containers(target: Path) -> None:
    make_secrets.main()
    entries = struct.iter_unpack("<HHI", os.getxattr(target, "system.posix_acl_access")[4:])
    assert (0x08, 4, make_secrets.CONTAINER_GROUP) in entries
    assert f"USER {make_secrets.CONTAINER_GROUP}:" in (SECRET_DIR.parent / "Dockerfile").read_text()


def test_a_second_run_changes_nothing_and_says_so(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_secrets.main()
    text = target.read_text()
    capsys.readouterr()
    make_secrets.main()
    assert target.read_text() == text
    assert "nothing was changed" in capsys.readouterr().out
    assert [file.name for file in sorted(target.parent.iterdir())] == [".env.production", ".env.production.example"]
