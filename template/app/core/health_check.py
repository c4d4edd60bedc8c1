"""`python -m app.core.health_check worker|beat`: has the one in this container given a sign of life lately?

It reads what they leave in Redis and asks nobody, so a worker whose processes are all busy is healthy too.
"""

import socket
import sys
import time

from redis.exceptions import RedisError

from app.core.task_keys import ALIVE_SECONDS, BEATS, WORKERS
from app.core.worker_redis import results_client


def main() -> None:
    host = socket.gethostname()
    key, name = {"worker": (WORKERS, f"celery@{host}"), "beat": (BEATS, host)}[sys.argv[1]]
    try:
        last_sign = results_client().zscore(key, name)
    except RedisError as error:
        raise SystemExit(f"Redis does not answer: {error!r}") from None
    if last_sign is None:
        raise SystemExit(f"no sign of {name} yet")
    if (silence := time.time() - last_sign) > ALIVE_SECONDS:
        raise SystemExit(f"no sign of {name} for {silence:.0f} seconds")


if __name__ == "__main__":
    main()
