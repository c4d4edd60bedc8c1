"""Background work: one module per subject, one thin task per action. Importing this package registers them all."""

import importlib
import pkgutil
from typing import Any

from app.core.celery import celery_app
from app.core.task_base import BaseTask

for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
    importlib.import_module(module.name)


def exposed_tasks() -> list[BaseTask[..., Any]]:
    """The tasks that may be queued over REST, by name."""
    tasks = (celery_app.tasks[name] for name in sorted(celery_app.tasks))
    return [task for task in tasks if isinstance(task, BaseTask) and task.exposed]
