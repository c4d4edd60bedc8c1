"""Signatures of webhooks, by https://www.standardwebhooks.com."""

import hmac
import re
import time
from base64 import b64decode, b64encode

PREFIX = "whsec_"
"""Of a secret that is written in Base64."""


class SignatureError(Exception):
    """The webhook does not come from who shares our secret, or not from now."""


def key_of(secret: str) -> bytes:
    """ValueError where it is no Base64, though it begins like that."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    text = secret.removeprefix(PREFIX)
    return b64decode(text + "=" * (-len(text) % 4), validate=True)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """What belongs into the header `webhook-signature`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.digest(key_of(secret), signed, "sha256")).decode()


def verify(secret: str, message_id: str, timestamp: str, signatures: str, body: bytes, *, tolerance: int) -> None:
    """SignatureError unless one of the signatures is right, and the time is not further from ours than `tolerance`.

    There may be several, one for each secret, while the sender changes to a new one.
    """
    if not message_id:
        raise SignatureError("webhook-id is missing")
    if not re.fullmatch(r"[0-9]{1,12}", timestamp) or abs(time.time() - int(timestamp)) > tolerance:
        raise SignatureError("webhook-timestamp is not the time, or lies too far from ours")
    right = sign(secret, message_id, int(timestamp), body).encode()
    # in constant time: how long it takes tells nobody how much of a guess was right
    if not any(hmac.compare_digest(right, given.encode()) for given in signatures.split(" ")):
        raise SignatureError("webhook-signature is not that of this message")
