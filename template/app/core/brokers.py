"""What differs from broker to broker: Redis, and RabbitMQ for those who want one that confirms what it was given."""

from typing import Any

from kombu import Exchange, Queue

from app.core.config.celery import CelerySettings
from app.core.sentinel import options_for_celery
from app.core.task_delivery import LEASE_SECONDS

QUEUES = ("high_priority", "default", "low_priority")
"""In the order in which a worker looks into them."""


def transport_options(settings: CelerySettings) -> dict[str, Any]:
    if settings.broker_is_redis:
        return {
            "visibility_timeout": LEASE_SECONDS,  # for who looks here for it; see task_leases.py
            "queue_order_strategy": "priority",
            "socket_connect_timeout": 5,
            "socket_timeout": 10,
            "socket_keepalive": True,
            "health_check_interval": 10,
            **options_for_celery(settings),
        }
    if settings.broker_is_rabbitmq:
        return {"confirm_publish": True, "read_timeout": 10, "write_timeout": 10}
    return {}


def queues(settings: CelerySettings) -> list[Queue]:
    if settings.broker_is_rabbitmq:
        # quorum queues survive the loss of a node, and count the deliveries of a message; countdowns need a topic:
        # https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/rabbitmq.html#using-quorum-queues
        exchange, arguments = Exchange("tasks", type="topic"), {"x-queue-type": "quorum"}
        return [Queue(name, exchange, routing_key=name, queue_arguments=arguments) for name in QUEUES]
    return [Queue(name, routing_key=name) for name in QUEUES]


def priority(settings: CelerySettings, urgency: int) -> int:
    """From an urgency, 9 being the most urgent: Redis' priorities run the other way."""
    return 9 - urgency if settings.broker_is_redis else urgency
