"""After other answers, a service is as if it had been rendered with them."""

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from rendering import COMBINATIONS, DATABASES, ROOMS, empty_folders, render
from updates.lived_in import KEPT, start_repository, tree, update

QUICK = ("examples-postgresql", "celery-sqlite")
"""Two rooms go, one comes, others stay."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The files of a service that was rendered so."""
    return cache(lambda name: tree(render(tmp_path_factory.mktemp(name) / "service", **COMBINATIONS[name])))


def changes() -> list[tuple[str, str]]:
    """From and to all rooms, each once with the database as it was and once with another; the first takes turns."""
    pairs = []
    for (row, before), (column, after) in product(enumerate(ROOMS), repeat=2):
        database = DATABASES[(row + column + 1) % len(DATABASES)]
        pairs += [(f"{before}-{database}", f"{after}-{other}") for other in DATABASES]
    return pairs


def test_each_combination_is_left_and_arrived_at() -> None:
    before, after = zip(*changes(), strict=True)
    assert set(before) == set(after) == set(COMBINATIONS)


@pytest.mark.parametrize(
    ("before", "after"),
    [pytest.param(*change, marks=[] if change == QUICK else pytest.mark.slow) for change in changes()],
)
def test_after_a_change_of_answers_a_service_equals_a_fresh_one(
    tmp_path: Path, fresh: Any, before: str, after: str
) -> None:
    service = render(tmp_path / "mein schöner service", **COMBINATIONS[before])
    start_repository(service)
    kept = {name: (service / name).read_bytes() for name in KEPT}
    update(service, **COMBINATIONS[after])
    assert tree(service) == fresh(after) | kept
    assert not empty_folders(service)
