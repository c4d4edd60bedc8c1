"""Loads the fixtures: where the servers are comes first, since the app reads it when it is imported."""

import os
import pkgutil
from pathlib import Path

import pytest

os.environ["APP_ENV"] = "test"

pytest.register_assert_rewrite("tests.servers")  # its modules may import each other before pytest does
servers = pkgutil.iter_modules([str(Path(__file__).with_name("servers"))], prefix="tests.servers.")
pytest_plugins = [*(module.name for module in servers), "tests.service"]
