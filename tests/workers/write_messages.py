"""Prints each task's message as MessageBuilder makes it and as kombu sends it to Redis.

Run in the service's folder and environment, while no worker is up.
"""

import json
from datetime import date
from typing import Any

from kombu.utils.json import dumps
from redis import Redis

from app.core.celery import celery_app, settings
from app.core.task_message import MessageBuilder, NewTask
from app.core.task_scripts import BELL
from app.tasks import exposed_tasks

TASK_ID = "5a0f5d1e-0000-4000-8000-000000000000"
ARGUMENTS: dict[str, dict[str, Any]] = {
    "proof.fail": {"key": ""},
    "proof.hold": {"key": "ä", "seconds": 1.5},
    "proof.start_and_wait": {"key": "", "seconds": 0},
    "proof.until_aborted": {"key": ""},
    "proof.walk": {"steps": 1},
    "proof.use_session": {"key": 'quo"te'},
    "reports.activity": {"days": 7},
    "users.update_stats": {"day": date(2026, 1, 31)},
}

broker = Redis.from_url(settings.broker_url, decode_responses=True)
builder = MessageBuilder(celery_app)


def pushed() -> tuple[str, str]:
    (key,) = (key for key in broker.scan_iter(_type="list") if key != BELL)
    return str(key), str(broker.rpop(key))


def readable(key: str, payload: str) -> dict[str, Any]:
    return {"key": key, "message": json.loads(payload)}


messages: dict[str, dict[str, Any]] = {}
for task in exposed_tasks():
    arguments = ARGUMENTS.get(task.name, {})
    built = builder.task(NewTask(task, arguments))
    built_id = built.message["headers"]["id"]
    sent = task.apply_async(kwargs=arguments)
    key, payload = pushed()
    messages[task.name] = {
        "built": readable(built.key, dumps(built.message).replace(built_id, TASK_ID)),
        "sent": readable(key, payload.replace(sent.id, TASK_ID)),
    }

print(json.dumps(messages))
