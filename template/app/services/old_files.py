"""Takes away uploads, what was made of them, and exports, when nobody has changed them for long."""

from datetime import datetime
from pathlib import Path

import structlog

from app.core import stored_files

logger = structlog.stdlib.get_logger(__name__)

FOLDERS = ("exports", "images", "imports")


def remove_old(changed_before: datetime) -> int:
    """Remove each file, and each folder as a whole, of which nothing is newer; returns how many. Links stay."""
    removed = 0
    for path in [path for name in FOLDERS for path in stored_files.folder(name).iterdir() if not path.is_symlink()]:
        try:
            if _changed_at(path) >= changed_before.timestamp():
                continue
            stored_files.remove(path)
        except FileNotFoundError:  # somebody else was quicker
            continue
        if path.exists():
            logger.warning("an old file cannot be removed", path=str(path))
        else:
            removed += 1
    return removed


def _changed_at(path: Path) -> float:
    """Of a folder: when the newest of all that is in it has changed."""
    return max(each.lstat().st_mtime for each in [path, *path.rglob("*")])
