"""Makes secret/.env.production ready: real values for its placeholders, and the settings that it lacks.

It takes secret/.env.production.example as the model, keeps every value that is there, and prints no secret.
"""

import re
import secrets
from pathlib import Path

from app.core.config.base import PLACEHOLDER, SECRET_DIR

TARGET = SECRET_DIR / ".env.production"
KEY = re.compile(r"^([A-Z][A-Z0-9_]*)=", re.MULTILINE)
NAMED_PLACEHOLDER = re.compile(rf"{PLACEHOLDER}_[A-Z_]+")


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
        print(f"{TARGET} is complete; nothing was changed.")
        return
    new = TARGET.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(TARGET)  # all of it or nothing: what is lost here is lost
    changed = [key for key in KEY.findall(text) if _line(text, key) != _line(current, key)]
    print(f"{TARGET}: set {', '.join(changed)}.")


def _line(text: str, key: str) -> str | None:
    found = re.search(rf"^{key}=.*$", text, re.MULTILINE)
    return found[0] if found else None


if __name__ == "__main__":
    main()
