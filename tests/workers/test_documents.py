"""Each call in the service's docs is answered as they say."""

import pytest
from documents import Reader
from rendering import environment
from workers.processes import KEY, Api, Service


@pytest.mark.parametrize("page", ["tasks.md", pytest.param("troubleshooting.md", marks=pytest.mark.slow)])
def test_a_page_of_the_service_can_be_followed(service: Service, api: Api, page: str) -> None:
    instead = {
        "http://127.0.0.1:8000": api.url,
        "KEY=...": f"KEY='{KEY}'",
        "redis://127.0.0.1:6379/1": service.settings["CELERY_BROKER_URL"],
        "redis://127.0.0.1:6379/2": service.settings["CELERY_RESULT_BACKEND"],
    }
    variables = environment(service.folder, **service.settings)
    with service.worker("-c", "2"), Reader(service.folder, variables, instead) as reader:
        reader.follow(service.folder / "docs" / page)
