"""What Schemathesis cannot know from the OpenAPI document; it imports this by its `hooks` setting."""

import schemathesis  # type: ignore[import-not-found]  # it runs in an environment of its own
from hypothesis import strategies

# addresses that could exist: those of reserved names, such as `.test`, are refused
addresses = strategies.from_regex(r"[a-z][a-z0-9.+-]{0,20}[a-z0-9]@example\.(com|net|org)", fullmatch=True)
schemathesis.openapi.format("email", addresses.filter(lambda address: ".." not in address))
