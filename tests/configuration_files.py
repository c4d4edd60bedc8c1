"""The configuration files of a rendered service, read by whatever reads their kind."""

import configparser
import tomllib
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values


class ComposeLoader(yaml.SafeLoader):
    """Knows Compose's own tags, which say how a list is merged."""


def _read_list(loader: ComposeLoader, node: yaml.SequenceNode) -> list[object]:
    return loader.construct_sequence(node)


ComposeLoader.add_constructor("!override", _read_list)


def read_configuration(service: Path) -> dict[str, Any]:
    """What each configuration file says, by its name."""
    paths = (path for path in sorted(service.rglob("*")) if path.is_file())
    read = {str(path.relative_to(service)): _read(path) for path in paths}
    return {name: content for name, content in read.items() if content is not None}


def _read(path: Path) -> Any:
    if path.suffix in {".toml", ".lock"}:
        return tomllib.loads(path.read_text())
    if path.suffix in {".yml", ".yaml"}:
        return yaml.load(path.read_text(), ComposeLoader)  # noqa: S506 (a safe loader)
    if path.name.startswith(".env."):
        return dotenv_values(path)
    if path.suffix == ".ini" or path.name == ".importlinter":
        ini = configparser.ConfigParser()
        ini.read_string(path.read_text())
        return ini
    return None
