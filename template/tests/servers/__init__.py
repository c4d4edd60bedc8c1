"""One module per server that the tests use: where it is, which the service reads from its environment, and fixtures."""

import os
from typing import NoReturn

import pytest


def lacking(server: str, variable: str) -> NoReturn:
    """Skip the test for want of a server, or fail it where CI is set: there, every server must be at hand."""
    reason = f"needs {server}: set {variable} to its address"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
