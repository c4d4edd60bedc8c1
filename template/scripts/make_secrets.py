"""Makes secret/.env.production ready: real values for its placeholders, and the settings that it lacks.

It takes secret/.env.production.example as the model, keeps every value that is there, and prints no secret.
"""

import os
import re
import secrets
import struct
import sys
from pathlib import Path

from app.core.config.base import PLACEHOLDER, SECRET_DIR

TARGET = SECRET_DIR / ".env.production"
KEY = re.compile(r"^([A-Z][A-Z0-9_]*)=", re.MULTILINE)
NAMED_PLACEHOLDER = re.compile(rf"{PLACEHOLDER}_[A-Z_]+")
CONTAINER_GROUP = 10_001
"""Of the user in Dockerfile."""


def complete(current: str, model: str) -> str:
    """`current` with the lines of `model` whose keys it lacks, and a random value for each named placeholder."""
    present = set(KEY.findall(current))
    missing = [line for line in model.splitlines() if (key := KEY.match(line)) and key[1] not in present]
    text = "\n".join([current.rstrip("\n"), *missing]).lstrip("\n") + "\n" if current else model
    values = _secrets_in_use(current, model)
    return NAMED_PLACEHOLDER.sub(lambda name: values.setdefault(name[0], secrets.token_urlsafe(32)), text)


def _secrets_in_use(current: str, model: str) -> dict[str, str]:
    """By placeholder, what stands in its place already, for a setting that is added later to share."""
    in_use = {}
    for line in model.splitlines():
        if placeholder := NAMED_PLACEHOLDER.search(line):
            before, after = map(re.escape, line.split(placeholder[0]))
            if found := re.search(f"^{before}(.+){after}$", current, re.MULTILINE):
                in_use[placeholder[0]] = found[1]
    return {name: secret for name, secret in in_use.items() if not secret.startswith(PLACEHOLDER)}


def main() -> None:
    current = TARGET.read_text() if TARGET.exists() else ""
    text = complete(current, Path(f"{TARGET}.example").read_text())
    if text == current:
        open_to_containers(TARGET)
        print(f"{TARGET} is complete; nothing was changed.")
        return
    write(TARGET, text)
    changed = [key for key in KEY.findall(text) if _line(text, key) != _line(current, key)]
    print(f"{TARGET}: set {', '.join(changed)}.")


def write(file: Path, text: str) -> None:
    """All of it or nothing: what is lost here is lost."""
    new = file.with_suffix(".new")
    new.touch(mode=0o600)
    open_to_containers(new)
    new.write_text(text)
    new.replace(file)


def open_to_containers(file: Path) -> None:
    """Let its owner read and write it, the group of the containers read it, and nobody else do anything.

    Containers see the file as it lies here, with a user of their own. A group that its owner is not in can be named by
    an access control list only (https://man7.org/linux/man-pages/man5/acl.5.html); its form is that of Linux's
    `posix_acl_xattr.h`. Elsewhere Docker runs in a virtual machine, whose users may read all that their owner may.
    """
    file.chmod(0o600)
    if sys.platform != "linux":
        return
    nobody, read, write = 0xFFFFFFFF, 4, 2
    entries = [
        (0x01, read | write, nobody),  # the owner
        (0x04, 0, nobody),  # the owner's group
        (0x08, read, CONTAINER_GROUP),
        (0x10, read, nobody),  # the most that a group may
        (0x20, 0, nobody),  # all others
    ]
    packed = b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(file, "system.posix_acl_access", struct.pack("<I", 2) + packed)
    except OSError as error:
        print(f"Containers cannot read {file} ({error.strerror}); as root: chgrp {CONTAINER_GROUP} and chmod 640.")


def _line(text: str, key: str) -> str | None:
    found = re.search(rf"^{key}=.*$", text, re.MULTILINE)
    return found[0] if found else None


if __name__ == "__main__":
    main()
