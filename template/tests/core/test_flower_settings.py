"""Nobody comes into Flower without a password."""

import pytest

from app.core.config.base import SettingsError, load
from app.core.config.flower import FlowerSettings

STRONG = "admin:a-long-random-password"


@pytest.mark.parametrize("users", ["", "admin", "admin:", ":password", "admin:password,guest"])
@pytest.mark.parametrize("app_env", ["development", "production"])
def test_each_user_needs_a_name_and_a_password(monkeypatch: pytest.MonkeyPatch, users: str, app_env: str) -> None:
    monkeypatch.setenv("APP_ENV", app_env)
    monkeypatch.setenv("FLOWER_BASIC_AUTH", users)
    with pytest.raises(SettingsError, match=r"^FLOWER_BASIC_AUTH: "):
        load(FlowerSettings)


@pytest.mark.parametrize("users", ["admin:CHANGE_ME_FLOWER_PASSWORD", "admin:short", f"{STRONG},guest:guest"])
def test_production_refuses_a_weak_password(monkeypatch: pytest.MonkeyPatch, users: str) -> None:
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("FLOWER_BASIC_AUTH", users)
    with pytest.raises(SettingsError, match="make secrets"):
        load(FlowerSettings)


def test_a_password_is_in_no_representation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWER_BASIC_AUTH", STRONG)
    assert STRONG not in repr(load(FlowerSettings))
