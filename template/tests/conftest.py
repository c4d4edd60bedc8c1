"""Loads the fixtures. Those of the servers come first: they say where each is, which the app reads when imported."""

import os
import pkgutil
from pathlib import Path

import pytest

os.environ["APP_ENV"] = "test"

pytest.register_assert_rewrite("tests.fixtures")  # its modules may import each other before pytest does
fixtures = pkgutil.iter_modules([str(Path(__file__).with_name("fixtures"))], prefix="tests.fixtures.")
pytest_plugins = [*(module.name for module in fixtures), "tests.service"]
