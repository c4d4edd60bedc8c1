import itertools
import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from rendering import run
from servers import PostgresServer, RedisServer
from workers.processes import KEY, POOL_SIZE, Api, Service

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def folder(celery_service: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service with tasks and endpoints of a user's own."""
    folder = tmp_path_factory.mktemp("workers") / "service"
    shutil.copytree(celery_service, folder, ignore=shutil.ignore_patterns(".venv"))
    (folder / ".venv").symlink_to(celery_service / ".venv")
    shutil.copy2(HERE / "proof.py", folder / "app" / "tasks" / "proof.py")
    shutil.copy2(HERE / "proof_routes.py", folder / "app" / "api" / "routes" / "proof.py")
    return folder


@pytest.fixture(scope="session")
def migrated(folder: Path, postgres_server: PostgresServer) -> str:
    """The name of a database to copy: as the service's migrations leave it."""
    run(folder, "alembic", "upgrade", "head", APP_ENV="test", DATABASE_URL=postgres_server.create_database("migrated"))
    return "migrated"


@pytest.fixture(scope="session")
def new_service(
    folder: Path, migrated: str, postgres_server: PostgresServer, redis_server: RedisServer
) -> Callable[[], Service]:
    """Gives the service databases of its own: three empty ones in Redis, and one as the migrations leave it."""
    numbers = itertools.count()

    def new_service() -> Service:
        number = next(numbers)
        cache, broker, results = (redis_server.url(3 * number + n) for n in range(3))
        database = f"proof_{number}"
        settings = {
            "APP_ENV": "test",
            "DATABASE_URL": postgres_server.create_database(database, template=migrated),
            "DATABASE_POOL_SIZE": str(POOL_SIZE),
            "REDIS_URL": cache,
            "CELERY_BROKER_URL": broker,
            "CELERY_RESULT_BACKEND": results,
            "CELERY_CANCEL_GRACE": "1",
            "TASK_API_KEYS": f"tests:{sha256(KEY.encode()).hexdigest()}",
        }
        return Service(folder, postgres_server, database, settings)

    return new_service


@pytest.fixture(scope="module")
def service(new_service: Callable[[], Service]) -> Service:
    return new_service()


@pytest.fixture(scope="module")
def queue(service: Service) -> Iterator[Celery[Any]]:
    with service.queue() as queue:
        yield queue


@pytest.fixture(scope="module")
def api(service: Service) -> Iterator[Api]:
    with service.api() as api:
        yield api
