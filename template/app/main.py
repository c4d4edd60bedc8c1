"""The web process: `uvicorn app.main:app`."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from app.api.body_limit import BodyLimitMiddleware
from app.api.documentation import document_problems, operation_id
from app.api.errors import add_error_handlers
from app.api.request_id import is_request_id
from app.api.routes import find_routers
from app.core.config.app import get_app_settings
from app.core.config.base import check_settings
from app.core.logging import configure_logging
from app.core.resources import open_resources


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    async with open_resources():
        yield


def create_app() -> FastAPI:
    routers = list(find_routers())
    check_settings()  # once all modules that have some are imported
    configure_logging()
    # its /docs asks no other host for its scripts
    app = FastAPIOffline(title=get_app_settings().name, lifespan=lifespan, generate_unique_id_function=operation_id)
    add_error_handlers(app)
    document_problems(app)
    for router in routers:
        app.include_router(router)
    app.add_middleware(BodyLimitMiddleware, limit=get_app_settings().body_limit)
    app.add_middleware(CorrelationIdMiddleware, validator=is_request_id)
    return app


app = create_app()

# What stands by now stays. Without this, collections of garbage go through all of it again and again: a fifth of the
# time of a request under load.
gc.collect()
gc.freeze()
