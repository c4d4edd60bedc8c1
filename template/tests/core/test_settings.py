"""Where settings come from, and what stops the service."""

import os
import re
from pathlib import Path

import pytest

from app.core.config import __main__ as check
from app.core.config import base
from app.core.config.app import AppSettings
from app.core.config.base import SettingsError, load
from app.core.config.database import DatabaseSettings

EXAMPLE = Path(__file__).parents[2] / "secret" / ".env.production.example"
STRONG = "postgresql+asyncpg://app:a-long-random-password@db/app"


@pytest.fixture
def secret_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Holds no file yet; nothing is set in the environment either."""
    monkeypatch.setattr(base, "SECRET_DIR", tmp_path)
    monkeypatch.delenv("DATABASE_URL")
    return tmp_path


def test_settings_come_from_the_file_of_the_environment(secret_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secret_dir / ".env.development").write_text("DATABASE_URL=sqlite+aiosqlite:///development.db\n")
    (secret_dir / ".env.production").write_text("DATABASE_URL=sqlite+aiosqlite:///production.db\n")
    monkeypatch.setenv("APP_ENV", "production")
    assert load(DatabaseSettings).url == "sqlite+aiosqlite:///production.db"
    monkeypatch.delenv("APP_ENV")
    assert load(DatabaseSettings).url == "sqlite+aiosqlite:///development.db"


def test_the_environment_wins_over_the_file(secret_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secret_dir / ".env.test").write_text("DATABASE_URL=sqlite+aiosqlite:///file.db\nDATABASE_POOL_SIZE=3\n")
    monkeypatch.setenv("DATABASE_URL", "sqlite+aiosqlite:///environment.db")
    settings = load(DatabaseSettings)
    assert (settings.url, settings.pool_size) == ("sqlite+aiosqlite:///environment.db", 3)


def test_a_missing_setting_is_named_with_its_file(secret_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "development")
    with pytest.raises(SettingsError) as error:
        load(DatabaseSettings)
    assert str(error.value) == "DATABASE_URL: Field required. Set it in secret/.env.development or the environment."


def test_all_faults_are_named_in_one_line(secret_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_POOL_SIZE", "many")
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: .*; DATABASE_POOL_SIZE: .*$") as error:
        load(DatabaseSettings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "nosuchdatabase://host/name", "sqlite+pysqlite:///file.db", "sqlite+nosuchdriver:///file.db"],
)
def test_an_address_that_is_none_is_refused(secret_dir: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: "):
        load(DatabaseSettings)


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("sqlite:///file.db", "sqlite+aiosqlite:///file.db"),
        ("postgresql://u:p@db/app", "postgresql+asyncpg://u:p@db/app"),
    ],
)
def test_an_address_without_a_driver_gets_the_asyncio_one(
    secret_dir: Path, monkeypatch: pytest.MonkeyPatch, url: str, used: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert load(DatabaseSettings).url == used


def test_an_unknown_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_ENV", "staging")
    with pytest.raises(SettingsError, match=r"^APP_ENV: use one of development, production, test, not 'staging'"):
        load(AppSettings)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://app:CHANGE_ME_DATABASE_PASSWORD@db/app",
        "postgresql+asyncpg://app:short@db/app",
        "postgresql+asyncpg://app@db/app",
    ],
)
def test_production_refuses_a_weak_secret_and_says_how_to_make_one(
    secret_dir: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("DATABASE_URL", url)
    with pytest.raises(SettingsError) as error:
        load(DatabaseSettings)
    assert str(error.value).startswith("DATABASE_URL: ")
    assert "`make secrets`" in str(error.value)
    assert "secret/.env.production" in str(error.value)
    assert url not in str(error.value)


def test_every_placeholder_is_named_before_anything_starts(secret_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = EXAMPLE.read_text()
    (secret_dir / ".env.production").write_text(text)
    placeholders = re.findall(r"^(\w+)=.*CHANGE_ME", text, re.MULTILINE)
    for key in placeholders:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("APP_ENV", "production")
    named: list[str] = []
    try:
        check.main()
    except SettingsError as error:
        named = re.findall(r"(\w+): still holds the placeholder", str(error))
    assert sorted(named) == sorted(placeholders)


def test_a_file_that_is_closed_to_the_service_is_named(secret_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secret_dir / ".env.test").write_text("DATABASE_URL=sqlite+aiosqlite:///file.db\n")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SettingsError, match=r"^secret/.env.test is closed to user \d+. Run `make secrets`"):
        load(DatabaseSettings)


@pytest.mark.parametrize("url", [STRONG, "sqlite+aiosqlite:////data/service.db"])
def test_production_takes_a_strong_secret_or_a_file(
    secret_dir: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("DATABASE_URL", url)
    assert load(DatabaseSettings).url == url


def test_a_password_is_in_no_representation(secret_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", STRONG)
    assert "a-long-random-password" not in repr(load(DatabaseSettings))
