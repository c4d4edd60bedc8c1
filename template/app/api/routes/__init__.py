"""One module per resource. Each module's `router` is found here and mounted by the web process."""

import importlib
import pkgutil
from collections.abc import Iterator

from fastapi import APIRouter


def find_routers() -> Iterator[APIRouter]:
    for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        router: APIRouter = importlib.import_module(module.name).router
        yield router
