"""The tutorial's app with the settings that blog posts advise against lost tasks."""

import os

from chaos.tutorial import app

app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_transport_options={"visibility_timeout": float(os.environ["CHAOS_VISIBILITY"])},
)
