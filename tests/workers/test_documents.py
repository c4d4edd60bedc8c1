"""Each call in the service's docs is answered as they say."""

import os
import re
import subprocess

from workers.processes import KEY, Api, Service

CALL = re.compile(r"^(curl .*) # (\d+)(?: or (\d+))?$", re.MULTILINE)

OPTIONS = " --silent --show-error --max-time 20 --write-out '\\n%{http_code}'"


def test_the_calls_of_the_task_api_are_answered_as_its_page_says(service: Service, api: Api) -> None:
    page = (service.folder / "docs" / "tasks.md").read_text()
    calls = CALL.findall(page)
    assert len(calls) == page.count("curl ")
    variables = {"API": f"{api.url}/api/v1", "KEY": KEY}
    with service.worker("-c", "2"):
        task_id = ""
        for call, *expected in calls:
            command = call.replace("TASK_ID", task_id) + OPTIONS
            done = subprocess.run(
                ["bash", "-c", command], env=os.environ | variables, capture_output=True, text=True, check=True
            )
            body, status = done.stdout.rsplit("\n", 1)
            assert status in expected, f"{call}\n{body}"
            if not task_id:
                task_id = re.search(r'"task_id":"([^"]+)"', body)[1]  # type: ignore[index]
