"""Webhooks are signed and checked as everybody does it."""

import time
from base64 import b64encode

import pytest

from app.core.config.base import SettingsError, load
from app.core.config.webhooks import WebhooksSettings
from app.core.webhook_signature import SignatureError, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'


def check(
    signatures: str | None = None, *, message_id: str = "msg_1", age: int = 0, body: bytes = BODY, secret: str = SECRET
) -> None:
    timestamp = int(time.time()) - age
    right = sign(SECRET, "msg_1", timestamp, BODY)
    given = right if signatures is None else signatures.replace("RIGHT", right)
    verify(secret, message_id, str(timestamp), given, body, tolerance=300)


def test_a_signature_is_that_of_other_implementations() -> None:
    signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_in_base64_is_that_of_its_bytes() -> None:
    secret = f"whsec_{b64encode(b'a plain secret').decode()}"
    assert sign(secret, "msg_1", 1, BODY) == sign("a plain secret", "msg_1", 1, BODY)
    assert sign(secret.rstrip("="), "msg_1", 1, BODY) == sign(secret, "msg_1", 1, BODY)


@pytest.mark.parametrize("signatures", ["RIGHT", "v1,b2xk RIGHT", "v1a,other RIGHT v1,b2xk"])
def test_one_right_signature_is_enough(signatures: str) -> None:
    check(signatures)


@pytest.mark.parametrize("signatures", ["", "v1,", "v1,b2xk", "RIGHTx", "v2RIGHT", "RIGHT,", "ü", "  "])
def test_a_wrong_signature_is_refused(signatures: str) -> None:
    with pytest.raises(SignatureError, match="webhook-signature"):
        check(signatures)


def test_what_was_signed_is_the_whole_message() -> None:
    check()
    for changed in ({"message_id": "msg_2"}, {"body": BODY + b" "}, {"secret": "of somebody else"}):
        with pytest.raises(SignatureError, match="webhook-signature"):
            check(**changed)


@pytest.mark.parametrize("age", [290, -290])
def test_clocks_may_differ_a_little(age: int) -> None:
    check(age=age)


@pytest.mark.parametrize("age", [310, -310])
def test_what_was_signed_too_long_ago_or_lies_ahead_is_refused(age: int) -> None:
    with pytest.raises(SignatureError, match="webhook-timestamp"):
        check(age=age)


@pytest.mark.parametrize("timestamp", ["", "now", "-1", "1e9", "٣", "9" * 5000])
def test_what_is_no_time_is_refused(timestamp: str) -> None:
    with pytest.raises(SignatureError, match="webhook-timestamp"):
        verify(SECRET, "msg_1", timestamp, "v1,b2xk", BODY, tolerance=300)


def test_a_message_without_an_id_is_refused() -> None:
    with pytest.raises(SignatureError, match="webhook-id"):
        check(message_id="")


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not Base64 at all", "whsec_****************"])
def test_a_secret_without_a_key_stops_the_service(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("WEBHOOKS_SECRET", secret)
    with pytest.raises(SettingsError, match="WEBHOOKS_SECRET"):
        load(WebhooksSettings)
