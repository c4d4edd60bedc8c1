"""Files that are uploaded, and those that tasks write."""

from functools import cache
from pathlib import Path

from pydantic import PositiveInt
from pydantic_settings import SettingsConfigDict

from app.core.config.base import ServiceSettings, load


class FilesSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="FILES_")

    folder: Path
    """The same for the API and all workers."""
    upload_limit: PositiveInt = 200_000_000
    """Bytes of a file of rows; ..."""
    image_limit: PositiveInt = 20_000_000
    """... and of an image."""
    keep_days: PositiveInt = 30
    """After which uploads and exports are removed."""
    backups_keep_days: PositiveInt = 14
    """After which a backup of the database is removed, if there is a newer one."""


@cache
def get_files_settings() -> FilesSettings:
    return load(FilesSettings)
