"""What is done to a design, by name; each returns when the fault is over and what was stopped is there again."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

from servers import Proxy

from chaos.supervised import Supervised
from chaos.target import Target

LEASE = 10.0
"""Seconds that a task's lease lasts in the service; a worker that stands still for longer has lost its tasks."""


@dataclass(frozen=True)
class Fault:
    inject: Callable[[Target, Random], None]
    strikes: str
    """Faults that strike the same thing are not combined."""
    seconds: float = 0


def nothing(_target: Target, _random: Random) -> None:
    pass


def kill_pool_child(target: Target, random: Random) -> None:
    _parent, *children = _any_worker(target, random).pids() or [0]
    if children:
        target.kill([random.choice(children)])


def kill_parent(target: Target, random: Random) -> None:
    target.kill(_any_worker(target, random).pids()[:1])


def kill_whole_worker(target: Target, random: Random) -> None:
    target.kill(_any_worker(target, random).pids())


def kill_all_workers(target: Target, _random: Random) -> None:
    target.kill([pid for worker in target.workers for pid in worker.pids()])


def kill_beat(target: Target, _random: Random) -> None:
    target.kill(target.beat.pids())


def freeze_worker(seconds: float) -> Callable[[Target, Random], None]:
    def freeze(target: Target, random: Random) -> None:
        target.freeze(_any_worker(target, random).pids(), seconds, excuses=seconds >= LEASE)

    return freeze


def rolling_restart(target: Target, _random: Random) -> None:
    for worker in target.workers:
        pids, began = worker.pids(), time.monotonic()
        worker.terminate()
        target.note_hit(pids, began, shutdown=True)


def restart_redis(target: Target, _random: Random) -> None:
    target.redis.stop()
    target.redis.start()


def kill_redis(target: Target, _random: Random) -> None:
    target.redis.kill()
    target.redis.start()


def freeze_redis(seconds: float) -> Callable[[Target, Random], None]:
    def freeze(target: Target, _random: Random) -> None:
        target.redis.freeze()
        time.sleep(seconds)
        target.redis.thaw()

    return freeze


def restart_postgres(target: Target, _random: Random) -> None:
    target.postgres.restart()


def kill_postgres(target: Target, _random: Random) -> None:
    target.postgres.kill()
    target.postgres.start()


def lose_network(how: Callable[[Proxy], None], seconds: float) -> Callable[[Target, Random], None]:
    def lose(target: Target, _random: Random) -> None:
        how(target.network)
        time.sleep(seconds)
        target.network.forward()

    return lose


def two_at_once(faults: list[Fault]) -> Callable[[Target, Random], None]:
    def mix(target: Target, random: Random) -> None:
        first = random.choice(faults)
        second = random.choice([fault for fault in faults if fault.strikes != first.strikes])
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda fault: fault.inject(target, Random(random.random())), [first, second]))

    return mix


def faults(pause: float) -> dict[str, Fault]:
    """`pause` is how long Redis stands still, or drops packets."""
    single = {
        "pool child killed": Fault(kill_pool_child, "workers"),
        "worker's parent killed": Fault(kill_parent, "workers"),
        "worker killed, parent and children": Fault(kill_whole_worker, "workers"),
        "all workers killed": Fault(kill_all_workers, "workers"),
        "worker stopped for 3 s": Fault(freeze_worker(3), "workers", 3),
        "worker stopped for 15 s": Fault(freeze_worker(15), "workers", 15),
        "rolling restart": Fault(rolling_restart, "workers", 10),
        "beat killed": Fault(kill_beat, "beat"),
        "Redis restarted": Fault(restart_redis, "redis"),
        "Redis killed": Fault(kill_redis, "redis"),
        f"Redis stopped for {pause:g} s": Fault(freeze_redis(pause), "redis", pause),
        "network refused for 3 s": Fault(lose_network(Proxy.refuse, 3), "network", 3),
        f"network dropped packets for {pause:g} s": Fault(lose_network(Proxy.drop_packets, pause), "network", pause),
        "PostgreSQL restarted": Fault(restart_postgres, "postgres"),
        "PostgreSQL killed": Fault(kill_postgres, "postgres"),
    }
    mixed = Fault(two_at_once(list(single.values())), "", 5)
    return {"nothing": Fault(nothing, ""), **single, "two of these at once": mixed}


def _any_worker(target: Target, random: Random) -> Supervised:
    return random.choice([worker for worker in target.workers if worker.is_ready()] or target.workers)
