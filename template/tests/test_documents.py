"""Settings files and README say what is true: each setting is read, and each is documented."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import app.core.config
from app.core.config.base import ENVIRONMENTS, SECRET_DIR, ServiceSettings

ROOT = Path(__file__).resolve().parents[1]


def settings() -> set[str]:
    """The keys of every settings class."""
    for module in pkgutil.iter_modules(app.core.config.__path__, prefix="app.core.config."):
        importlib.import_module(module.name)
    return {
        f"{settings_class.model_config['env_prefix']}{field}".upper()
        for settings_class in ServiceSettings.__subclasses__()
        for field in settings_class.model_fields
    }


@pytest.mark.parametrize("name", [".env.development", ".env.production.example"])
def test_a_settings_file_holds_each_setting_once_and_nothing_else(name: str) -> None:
    keys = re.findall(r"^([^#\s=]+)=", (SECRET_DIR / name).read_text(), re.MULTILINE)
    assert sorted(keys) == sorted(settings())


def test_the_readme_documents_each_setting_once_and_nothing_else() -> None:
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_]*)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(set(rows) - {"APP_ENV"}) == sorted(settings())
    assert len(rows) == len(set(rows))


def test_git_keeps_no_production_secret() -> None:
    assert "/secret/.env.production" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_readme_names_each_environment() -> None:
    text = (ROOT / "README.md").read_text()
    assert all(environment in text for environment in ENVIRONMENTS)
