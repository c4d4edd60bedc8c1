"""API keys, as `make api-key` makes them."""

import re
from pathlib import Path

import pytest

from app.core.config.task_api import TaskApiSettings
from scripts import make_api_key


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / ".env.production"
    monkeypatch.setattr(make_api_key, "TARGET", file)
    file.write_text("APP_NAME=shop\nTASK_API_KEYS=\nTASK_API_LONGEST_WAIT=60\n")
    return file


def test_the_key_that_is_printed_is_its_owners(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = []
    for owner in ("shop", "shop", "farm"):
        make_api_key.main(owner)
        printed = re.search(r"only now: (\S{40,})", capsys.readouterr().out)
        assert printed
        keys.append(printed[1])
    settings = TaskApiSettings(_env_file=file, keys=make_api_key.LINE.search(file.read_text())[1])  # type: ignore[index]
    assert [settings.owner_of(key) for key in keys] == ["shop", "shop", "farm"]
    assert settings.owner_of("another") is None
    assert not any(key in file.read_text() for key in keys)


def test_the_rest_of_the_settings_stays(file: Path) -> None:
    make_api_key.main("shop")
    assert make_api_key.LINE.sub("TASK_API_KEYS=", file.read_text()).startswith(
        "APP_NAME=shop\nTASK_API_KEYS=\nTASK_API_L"
    )
    assert file.stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("owner", ["", "Shop", "a:b", "a,b", "a b", "é", "a" * 41])
def test_what_is_no_name_is_refused(file: Path, owner: str) -> None:
    before = file.read_text()
    with pytest.raises(SystemExit, match="Name an owner"):
        make_api_key.main(owner)
    assert file.read_text() == before


def test_without_settings_it_says_what_to_do_first(file: Path) -> None:
    file.unlink()
    with pytest.raises(SystemExit, match="make secrets"):
        make_api_key.main("shop")
    assert not file.exists()
