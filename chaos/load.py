"""What is sent during a fault: a seeded mix of tasks, the same for every design."""

from dataclasses import asdict, dataclass
from random import Random
from typing import Any

SHORTEST, SHORT = 0.0, 0.05
IN_A_GROUP = 5
LONGER = 1.0
BUSY_WITH_LONG = 2
"""Processes that long tasks keep busy, on average."""
SHARES = {  # beside the short tasks, and the long ones: one for so many short
    "retry": 20,
    "countdown": 20,
    "database": 10,
    "group": 50,
    "chord": 50,
}


@dataclass(frozen=True)
class Sending:
    at: float
    """Seconds after the sender's start."""
    kind: str
    key: str
    options: dict[str, Any]


def plan(name: str, random: Random, *, tasks: int, rate: float, longest: float) -> list[dict[str, Any]]:
    """So many short tasks, at so many a second, and others among them; their keys begin with `name`."""
    seconds = tasks / rate

    def short() -> float:
        return round(random.uniform(SHORTEST, SHORT), 3)

    def options(kind: str) -> dict[str, Any]:
        match kind:
            case "short":
                return {"seconds": short()}
            case "long":
                return {"seconds": round(random.uniform(LONGER, longest), 1)}
            case "retry":
                return {"times": random.randint(1, 2)}
            case "countdown":
                return {"seconds": short(), "countdown": round(random.uniform(1, 5), 1)}
            case "group" | "chord":
                return {"seconds": [short() for _ in range(IN_A_GROUP)]}
        return {}

    kinds = ["short"] * tasks
    for kind, share in SHARES.items():
        kinds += [kind] * max(1, tasks // share)
    kinds += ["long"] * max(1, round(BUSY_WITH_LONG * seconds / ((LONGER + longest) / 2)))
    moments = sorted(random.uniform(0, seconds) for _ in kinds)
    random.shuffle(kinds)
    return [
        asdict(Sending(round(at, 3), kind, f"{name}/{number}-{kind}", options(kind)))
        for number, (at, kind) in enumerate(zip(moments, kinds, strict=True))
    ]
