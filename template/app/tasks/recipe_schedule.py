"""What is queued by the clock for the recipes: at times of CELERY_TIMEZONE, at intervals, by the sun."""

from datetime import timedelta

from celery.schedules import crontab, solar

from app.core.celery import celery_app

WAREHOUSE = {"lat": 52.52, "lon": 13.405}
"""Berlin."""

celery_app.conf.beat_schedule |= {
    "remove expired sessions": {"task": "upkeep.remove_expired_sessions", "schedule": crontab(minute="5")},
    "remove old files": {"task": "upkeep.remove_old_files", "schedule": crontab(hour="4", minute="10")},
    "back up the database": {"task": "upkeep.back_up_database", "schedule": crontab(hour="4", minute="40")},
    # by then the month, which is one of UTC, has ended wherever CELERY_TIMEZONE is
    "report of last month": {"task": "reports.monthly", "schedule": crontab(day_of_month="1", hour="14", minute="20")},
    "give up overdue orders": {
        "task": "control.give_up_overdue_orders",
        "schedule": timedelta(minutes=15),
        "kwargs": {"days": 14},
        "options": {"expires": 15 * 60},  # without workers they do not pile up
    },
    "pack exports": {"task": "control.pack_exports", "schedule": solar("sunset", **WAREHOUSE)},
}
