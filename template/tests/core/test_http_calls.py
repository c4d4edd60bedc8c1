"""How long to wait before a service of others is asked again."""

import httpx2
import pytest

from app.core.http_calls import LONGEST_PAUSE, CalleeAwayError, _retry_after


@pytest.mark.parametrize("retries", range(12))
def test_pauses_grow_up_to_the_longest_one(retries: int) -> None:
    pauses = [CalleeAwayError("away").pause(retries) for _ in range(200)]
    assert min(pauses) >= 0
    assert max(pauses) <= min(2**retries, LONGEST_PAUSE)
    assert len(set(pauses)) > 1  # by chance, or all who were turned away would come back at once


@pytest.mark.parametrize(("asked_for", "pause"), [(0, 0), (7, 7), (10**6, LONGEST_PAUSE)])
def test_a_pause_that_was_asked_for_is_kept_within_reason(asked_for: int, pause: int) -> None:
    assert CalleeAwayError("away", asked_for).pause(retries=3) == pause


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("0", 0), ("120", 120), *[(no, None) for no in ("", "-1", "soon", "9" * 5_000, "Sat, 21 Nov 2026 20:00:00 GMT")]],
)
def test_only_a_number_says_how_long(header: str, seconds: int | None) -> None:
    assert _retry_after(httpx2.Response(503, headers={"Retry-After": header})) == seconds
