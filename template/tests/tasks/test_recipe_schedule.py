"""When each entry of the recipes' schedule is queued, over changes of the clock, ends of months, and restarts."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from celery import Celery
from celery.schedules import crontab, maybe_schedule, solar
from redis import Redis

from app.core.beat import Scheduler
from app.core.brokers import QUEUES
from app.core.celery import celery_app
from app.core.task_delivery import queue_lists
from app.core.task_keys import LAST_RUNS

BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)
SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=BERLIN), datetime(2026, 10, 25, tzinfo=BERLIN)
"""The days on which clocks are put forward from 2 to 3, and back from 3 to 2."""


def entry(name: str) -> Any:
    return celery_app.conf.beat_schedule[name]["schedule"]


def runs(schedule: Any, begin: datetime, end: datetime, timezone: str = "Europe/Berlin") -> list[datetime]:
    """When beat, which begins then, queues what has the schedule."""
    app: Celery[Any] = Celery(set_as_current=False)
    app.conf.update(timezone=timezone)
    schedule = maybe_schedule(copy.copy(schedule), app=app)
    found = []
    with time_machine.travel(begin, tick=False) as clock:
        last = app.now()
        while True:
            is_due, wait = schedule.is_due(last)
            if is_due:
                last = app.now()
                found.append(datetime.now(UTC))
            if datetime.now(UTC) + timedelta(seconds=wait) >= end:
                return found
            clock.shift(max(wait, 0.001))


def local(times: list[datetime]) -> list[str]:
    return [time.astimezone(BERLIN).strftime("%m-%d %H:%M") for time in times]


@pytest.mark.parametrize(
    ("name", "time"), [("remove old files", "04:10"), ("back up the database", "04:40")], ids=["files", "backup"]
)
@pytest.mark.parametrize(
    "day", [SPRING, AUTUMN, datetime(2028, 2, 29, tzinfo=BERLIN)], ids=["spring", "autumn", "leap"]
)
def test_what_is_done_each_night_is_done_once_a_night(name: str, time: str, day: datetime) -> None:
    nights = [day - DAY, day, day + DAY]
    assert local(runs(entry(name), nights[0], nights[-1] + DAY)) == [f"{night:%m-%d} {time}" for night in nights]


def test_sessions_are_removed_each_hour() -> None:
    begin = datetime(2026, 5, 4, tzinfo=BERLIN)
    times = runs(entry("remove expired sessions"), begin, begin + DAY)
    assert local(times) == [f"05-04 {hour:02}:05" for hour in range(24)]


def test_the_report_is_written_on_the_first_of_each_month() -> None:
    times = runs(entry("report of last month"), datetime(2027, 12, 1, 15, tzinfo=BERLIN), SPRING.replace(year=2029))
    assert local(times) == [f"{month % 12 + 1:02}-01 14:20" for month in range(15)]


@pytest.mark.parametrize("timezone", ["Pacific/Kiritimati", "Pacific/Niue"])
def test_the_month_of_the_report_has_ended_in_utc_too(timezone: str) -> None:
    begin = datetime(2026, 4, 15, tzinfo=UTC)
    (written,) = runs(entry("report of last month"), begin, begin + 30 * DAY, timezone)
    assert written.month == 5


def test_overdue_orders_are_given_up_every_quarter_of_an_hour_whatever_the_clocks_do() -> None:
    times = runs(entry("give up overdue orders"), SPRING, SPRING + DAY)
    assert times == [SPRING.astimezone(UTC) + number * timedelta(minutes=15) for number in range(1, 23 * 4)]


def test_a_time_of_day_is_one_of_the_time_zone_that_is_set() -> None:
    for timezone in ("UTC", "Europe/Berlin", "Asia/Kolkata"):
        day = datetime(2026, 5, 4, tzinfo=ZoneInfo(timezone))
        assert runs(entry("remove old files"), day, day + DAY, timezone) == [day.replace(hour=4, minute=10)]


@pytest.mark.parametrize(
    ("schedule", "day", "times"),
    [
        (crontab(hour="2", minute="30"), SPRING, ["03-29 03:30"]),  # there is no 2:30
        (crontab(hour="2", minute="30"), AUTUMN, ["10-25 02:30"]),  # there are two
        (crontab(hour="1-4", minute="5"), SPRING, ["03-29 01:05", "03-29 03:05", "03-29 04:05"]),
        (crontab(hour="1-4", minute="5"), AUTUMN, ["10-25 01:05", "10-25 02:05", "10-25 03:05", "10-25 04:05"]),
        (crontab(day_of_month="31", hour="5", minute="0"), datetime(2026, 4, 30, tzinfo=BERLIN), []),
        (crontab(day_of_month="29", month_of_year="2", hour="5", minute="0"), SPRING.replace(month=2, day=28), []),
    ],
)
def test_a_time_that_a_day_has_twice_counts_once_and_one_that_it_lacks_counts_an_hour_later(
    schedule: crontab, day: datetime, times: list[str]
) -> None:
    assert local(runs(schedule, day, day + DAY)) == times


@pytest.mark.parametrize(
    "sunset", ["2026-03-29T19:35+02:00", "2026-06-21T21:33+02:00", "2026-10-25T16:50+01:00", "2026-12-21T15:54+01:00"]
)
def test_exports_are_packed_when_the_sun_sets(sunset: str) -> None:
    almanac = datetime.fromisoformat(sunset)  # by the formulas of https://gml.noaa.gov/grad/solcalc/
    (packed,) = runs(entry("pack exports"), almanac.replace(hour=0), almanac.replace(hour=23, minute=59))
    assert abs(packed - almanac) < timedelta(minutes=2)


def test_where_the_sun_does_not_set_nothing_is_queued_until_it_does_again() -> None:
    tromso = solar("sunset", lat=69.65, lon=18.96)
    begin = datetime(2026, 5, 10, tzinfo=UTC)
    times = runs(tromso, begin, begin + 90 * DAY)
    longest = max(after - before for before, after in pairwise(times))
    assert timedelta(days=60) < longest < timedelta(days=75)


@pytest.fixture
def beat(broker: Redis, results: Redis) -> Callable[[], list[str]]:
    """Starts anew each time it is asked for the tasks that are due; returns their names."""

    def started_anew() -> list[str]:
        broker.flushdb()
        scheduler: Any = Scheduler(celery_app)
        while scheduler.tick() == 0:  # one entry at a time
            pass
        scheduler.close()
        waiting = [message for name in queue_lists(QUEUES) for message in broker.lrange(name, 0, -1)]
        return sorted(json.loads(message)["headers"]["task"] for message in waiting)

    return started_anew


def test_what_was_missed_is_queued_once_when_beat_is_back(beat: Callable[[], list[str]], results: Redis) -> None:
    noon = datetime(2026, 5, 4, 12, tzinfo=UTC)
    with time_machine.travel(noon, tick=False) as clock:
        assert beat() == []
        clock.move_to(noon + 3 * DAY)
        assert beat() == [
            "control.give_up_overdue_orders",
            "control.pack_exports",
            "outbox.relay",
            "system.heartbeat",
            "upkeep.back_up_database",
            "upkeep.remove_expired_sessions",
            "upkeep.remove_old_files",
            "users.cleanup",
        ]
        assert beat() == []
        assert datetime.fromisoformat(str(results.hget(LAST_RUNS, "pack exports"))) == noon + 3 * DAY
        clock.move_to(datetime(2026, 5, 7, 18, 41, tzinfo=UTC))
        assert "control.pack_exports" not in beat(), "the sun sets at 18:43"
        clock.move_to(datetime(2026, 5, 7, 18, 45, tzinfo=UTC))
        assert "control.pack_exports" in beat()
        assert "control.pack_exports" not in beat()
