"""Flower's options; it looks for this file by itself: https://flower.readthedocs.io/en/latest/config.html."""

from app.core.config.flower import get_flower_settings

basic_auth = get_flower_settings().basic_auth.split(",")
address = "127.0.0.1"
# what it has seen outlives it; without an interval it would be written down at an orderly end only
persistent = True
db = "flower.db"
state_save_interval = 10_000  # milliseconds
# every container of a worker has a name of its own: forget those that are gone
purge_offline_workers = 3_600
