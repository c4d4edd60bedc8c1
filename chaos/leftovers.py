"""What still waits in the broker, by the keys of the tasks, wherever in Redis their messages are."""

import base64
import re
from collections import defaultdict
from typing import Any

from redis import Redis

BODY = re.compile(rb'\\*"body\\*": \\*"([A-Za-z0-9+/=]+)\\*"')
KEY = re.compile(rb'"key": "([^"]+)"')
RECORDS = b"task:"
"""What is only written down here is in nobody's hands."""


def leftovers(broker_url: str) -> dict[str, list[str]]:
    """The Redis keys under which there is a message of a task, or of one that it is to start, by the task's key."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    with Redis.from_url(broker_url) as broker:
        for place in broker.scan_iter():
            if not place.startswith(RECORDS):
                for value in _values(broker, place):
                    for body in BODY.findall(value):
                        for key in KEY.findall(base64.b64decode(body)):
                            found[key.decode()].append(place.decode())
    return found


def _values(broker: Redis, place: bytes) -> list[Any]:
    match broker.type(place):
        case b"list":
            return broker.lrange(place, 0, -1)
        case b"hash":
            return list(broker.hvals(place))
        case b"zset":
            return broker.zrange(place, 0, -1)
        case b"set":
            return list(broker.smembers(place))
        case b"string":
            return [broker.get(place) or b""]
    return []
