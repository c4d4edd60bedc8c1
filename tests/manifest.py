"""The manifest, read as it lies in copier.yml: what belongs to which room."""

from typing import Any

import jinja2
import yaml
from rendering import ROOT

CONFIGURATION: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text())


def rooms(*, use_celery: bool, use_redis: bool = True, database: str) -> dict[str, Any]:
    """The rooms by name, each with its files and whether it is on with these answers."""
    text = jinja2.Template(CONFIGURATION["features"]["default"], undefined=jinja2.StrictUndefined).render(
        use_celery=use_celery, use_redis=use_redis, database=database
    )
    return dict(yaml.safe_load(text))
