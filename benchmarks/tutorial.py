"""Tasks over HTTP as tutorials show them: Celery's own calls in `async def`, and all settings at their defaults.

task_api.py puts this file into a rendered service, beside app/.
"""

import os
import time
from typing import Any

from celery import Celery
from celery.result import AsyncResult
from fastapi import FastAPI
from pydantic import BaseModel

celery_app: Celery[Any] = Celery(
    "tutorial", broker=os.environ["CELERY_BROKER_URL"], backend=os.environ["CELERY_RESULT_BACKEND"]
)
app = FastAPI()


class Order(BaseModel):
    number: int
    email: str


@celery_app.task(name="orders.confirm")
def confirm(number: int, email: str) -> float:  # noqa: ARG001 (they travel)
    time.sleep(0.01)
    return time.time()


@app.post("/tasks", status_code=202)
async def queue_task(order: Order) -> dict[str, str]:
    return {"task_id": confirm.delay(order.number, order.email).id}


@app.get("/tasks/{task_id}")
async def read_task(task_id: str) -> dict[str, Any]:
    result: AsyncResult[Any] = AsyncResult(task_id, app=celery_app)
    return {"task_id": task_id, "status": result.status, "result": result.result}


@app.get("/tasks/{task_id}/result")
def wait_for_task(task_id: str) -> dict[str, Any]:  # FastAPI calls it in a thread
    return {"task_id": task_id, "result": AsyncResult(task_id, app=celery_app).get(timeout=60)}


@app.get("/health/live")
async def read_liveness() -> dict[str, str]:
    return {"status": "alive"}
