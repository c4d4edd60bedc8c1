"""`python -m app.core.config` says whether all settings are sound, and what to do where they are not."""

import importlib
import pkgutil

import app.core.config
from app.core.config.base import check_settings


def main() -> None:
    for module in pkgutil.iter_modules(app.core.config.__path__, prefix="app.core.config."):
        importlib.import_module(module.name)
    check_settings()


if __name__ == "__main__":
    main()
