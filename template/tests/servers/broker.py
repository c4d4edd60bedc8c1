"""The broker and the result backend: Redis too."""

import os

from tests.servers.redis import URL

os.environ["CELERY_BROKER_URL"] = URL._replace(path="/14").geturl()
os.environ["CELERY_RESULT_BACKEND"] = URL._replace(path="/15").geturl()
