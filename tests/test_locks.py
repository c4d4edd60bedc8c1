from pathlib import Path

import pytest
from rendering import COMBINATIONS, ROOT, render, run


def test_there_is_a_lock_for_each_combination_and_no_other() -> None:
    assert {path.stem for path in (ROOT / "hooks" / "locks").iterdir()} == set(COMBINATIONS)


# the service itself is one of the packages of its lock, and uv wants them in order
@pytest.mark.parametrize("slug", ["a1", "zz-last"])
@pytest.mark.parametrize("combination", COMBINATIONS)
def test_the_lock_is_exact_whatever_the_name(tmp_path: Path, combination: str, slug: str) -> None:
    service = render(tmp_path / "service", project_slug=slug, **COMBINATIONS[combination])
    run(service, "uv", "lock", "--check", "--offline", UV_CACHE_DIR=str(tmp_path / "empty"))
