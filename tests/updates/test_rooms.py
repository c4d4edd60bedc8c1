"""After other answers, a service is as if it had been rendered with them."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from rendering import COMBINATIONS, empty_folders, render
from updates.lived_in import KEPT, start_repository, tree, update

QUICK = ("celery-postgresql", "redis-sqlite")
"""One room goes, one comes, one stays."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The files of a service that was rendered so."""
    return cache(lambda name: tree(render(tmp_path_factory.mktemp(name) / "service", **COMBINATIONS[name])))


def changes() -> list[Any]:
    pairs = [(before, after) for before in COMBINATIONS for after in COMBINATIONS]
    return [pytest.param(*pair, marks=[] if pair == QUICK else pytest.mark.slow) for pair in pairs]


@pytest.mark.parametrize(("before", "after"), changes())
def test_after_a_change_of_answers_a_service_equals_a_fresh_one(
    tmp_path: Path, fresh: Any, before: str, after: str
) -> None:
    service = render(tmp_path / "mein schöner service", **COMBINATIONS[before])
    start_repository(service)
    kept = {name: (service / name).read_bytes() for name in KEPT}
    update(service, **COMBINATIONS[after])
    assert tree(service) == fresh(after) | kept
    assert not empty_folders(service)
