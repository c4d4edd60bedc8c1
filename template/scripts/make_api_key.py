"""Makes an API key for the tasks: prints it once, and puts its hash into secret/.env.production.

An owner may have several: make the new one, let callers change over, then take the old one's hash out of TASK_API_KEYS.
"""

import re
import secrets
import sys
from hashlib import sha256

from scripts.make_secrets import TARGET, write

LINE = re.compile(r"^TASK_API_KEYS=(.*)$", re.MULTILINE)


def add_key(settings: str, owner: str, key: str) -> str:
    """The text of the settings with the key's hash in it. SystemExit says what to do where that cannot be."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", owner):
        raise SystemExit("Name an owner of small letters, digits, - and _: make api-key owner=shop")
    line = LINE.search(settings)
    if not line:
        raise SystemExit("secret/.env.production has no TASK_API_KEYS; run `make secrets` first.")
    entry = f"{owner}:{sha256(key.encode()).hexdigest()}"
    return LINE.sub("TASK_API_KEYS=" + ",".join(filter(None, [line[1].strip(), entry])), settings, count=1)


def main(owner: str) -> None:
    key = secrets.token_urlsafe(32)
    write(TARGET, add_key(TARGET.read_text() if TARGET.exists() else "", owner, key))
    print(f"The key of {owner}, which is shown only now: {key}", "It counts when the API has been restarted.", sep="\n")


if __name__ == "__main__":
    main(sys.argv[1])
