"""The service's Celery app as it would be without leases and records: kombu's transport, Celery's result backend.

delivery.py puts this file into a rendered service, beside app/.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES

from app.core import task_base, task_leases
from app.core.celery import celery_app
from app.core.task_record import Start


def note_nothing(*_: Any) -> Start:
    return Start(number=1, cancelled=False)


def look_after_nothing(*_: Any) -> None:
    pass


TRANSPORT_ALIASES["redis"] = "kombu.transport.redis:Transport"
celery_app.loader.override_backends = {}
celery_app.conf.broker_transport_options["visibility_timeout"] = 3600
base: Any = task_base
base.note_start = note_nothing
leases: Any = task_leases.Leases
leases.enter = leases.recover = look_after_nothing
