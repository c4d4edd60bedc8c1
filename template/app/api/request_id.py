"""Which ids of requests are taken from those who ask; each is in every line of the log."""

import re

UUID = re.compile("[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_request_id(given: str) -> bool:
    """A UUID in one of its two plain forms; Python's own also reads braces, signs and underscores."""
    return UUID.fullmatch(given) is not None
