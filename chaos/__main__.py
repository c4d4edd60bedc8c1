"""Breaks what background work stands on, again and again, and counts what becomes of the tasks, in several designs.

`make chaos`, or at length
`make chaos OPTIONS='--tasks 100000 --rate 60 --longest 60 --pause 30 --visibility 30 --write'`.
"""

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from random import Random

import rendering

from chaos.faults import Fault, faults
from chaos.history import History
from chaos.ledger import Ledger
from chaos.leftovers import leftovers
from chaos.load import plan
from chaos.report import Row, evidence, rows, table
from chaos.target import BROKER, CONCURRENCY, DESIGNS, HERE, LEDGER, WORKERS, Target, render_service, running

RESULTS = HERE / "RESULTS.md"
BETWEEN_FAULTS = 3.0
"""Seconds, on average, in which a fault's consequences are left alone."""
TAKEN_UP_WITHIN = 20.0
"""Seconds after which a task that nobody works at, and nothing delays, will not be taken up by itself."""


@dataclass(frozen=True)
class Round:
    """The tasks that are sent while one kind of fault strikes; their keys begin with its name."""

    name: str
    title: str
    fault: Fault
    tasks: int

    def run(self, target: Target, history: History, options: argparse.Namespace) -> None:
        seed = f"{options.seed}/{self.title}"
        sends = plan(self.name, Random(seed), tasks=self.tasks, rate=options.rate, longest=options.longest)
        seconds = self.tasks / options.rate
        with target.sending(sends, patience=60):
            began = time.monotonic()
            times = max(1, round(seconds / (BETWEEN_FAULTS + self.fault.seconds)))
            random = Random(f"{seed}/moments")
            moments = sorted(random.uniform(0.1 * seconds, 0.9 * seconds) for _ in range(times))
            for number, moment in enumerate(moments):
                time.sleep(max(0.0, began + moment - time.monotonic()))
                struck = time.monotonic()
                self.fault.inject(target, Random(f"{seed}/{number}"))
                target.ledger.note("fault", fault=self.title, began=struck)
            time.sleep(max(0.0, began + seconds - time.monotonic()))
        _settle(history, f"{self.name}/", quiet=options.longest / 2, at_most=options.longest)


def _settle(history: History, name: str, quiet: float, at_most: float) -> None:
    """Wait until all is done, or nothing has happened for a while."""
    deadline = time.monotonic() + at_most
    while time.monotonic() < deadline:
        history.update()
        done = not any(task.unfinished for task in history.of(name))
        if done or time.monotonic() - history.last_event > quiet:
            return
        time.sleep(0.5)


def run_design(name: str, folder: Path, service: Path, options: argparse.Namespace) -> tuple[list[Row], str]:
    """Returns the evidence too."""
    started = time.monotonic()
    rounds = make_rounds(options)
    with running(
        DESIGNS[name], folder, service, append_fsync=options.append_fsync, visibility=options.visibility
    ) as target:
        history = History(target.ledger)
        for round_ in rounds:
            print(f"{time.monotonic() - started:5.0f} s  {name}: {round_.title}", flush=True)
            round_.run(target, history, options)
        patience = options.longest + TAKEN_UP_WITHIN
        _settle(history, "", quiet=patience, at_most=5 * patience)
        waiting = leftovers(target.redis.url(BROKER))
    result = rows(history, {round_.name: round_.title for round_ in rounds}, waiting)
    events, logs = list(Ledger(folder / LEDGER).new_events()), sorted(folder.glob("worker-*.log"))
    return result, "\n".join(evidence(row, events, waiting, logs) for row in result if not row.is_sound)


def make_rounds(options: argparse.Namespace) -> list[Round]:
    chosen = {
        title: fault for title, fault in faults(options.pause).items() if not options.only or options.only in title
    }
    return [
        Round(f"r{number}", title, fault, options.tasks // len(chosen))
        for number, (title, fault) in enumerate(chosen.items())
    ]


def conditions(options: argparse.Namespace) -> str:
    redis = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    versions = ", ".join(f"{name} {version(name)}" for name in ("celery", "kombu", "redis"))
    chosen = " ".join(
        f"--{name.replace('_', '-')} {value}"
        for name, value in vars(options).items()
        if value and name not in ("designs", "template", "keep", "write")
    )
    commit = rendering.git(options.template, "describe", "--always", "--dirty").strip()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPUs, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, {versions}, Redis {redis}; {WORKERS} workers with {CONCURRENCY}"
        f" processes each, all designs at once. The template at {commit}.\n\nOptions: `{chosen}`\n\n"
        "What the columns count: [README.md](README.md)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="the same tasks, faults and moments")
    parser.add_argument("--tasks", type=int, default=4_000, help="short ones, in all rounds of one design")
    parser.add_argument("--rate", type=float, default=40, help="short tasks a second")
    parser.add_argument("--longest", type=float, default=8, help="seconds of the longest task")
    parser.add_argument("--pause", type=float, default=5, help="seconds for which Redis stands still")
    parser.add_argument("--visibility", type=float, default=5, help="visibility timeout of the advised design")
    parser.add_argument("--append-fsync", choices=("everysec", "always"), default="everysec", help="Redis' appendfsync")
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=list(DESIGNS))
    parser.add_argument("--only", help="part of the names of the faults to inject")
    parser.add_argument("--template", type=Path, default=rendering.ROOT, help="another checkout to render from")
    parser.add_argument("--keep", action="store_true", help="leave ledgers and logs behind, whatever they say")
    parser.add_argument("--write", action="store_true", help=f"save the tables in {RESULTS.name}")
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that nothing is left running
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user
    rendering.snapshot = options.template
    service = render_service(folder / "service")
    with ProcessPoolExecutor(len(options.designs)) as processes:
        runs = {name: processes.submit(run_design, name, folder / name, service, options) for name in options.designs}
        results = {name: run.result() for name, run in runs.items()}

    text = "\n\n".join(f"## {DESIGNS[name].title}\n\n{table(rows)}" for name, (rows, _) in results.items())
    text = f"# Chaos\n\n{text}\n\n{conditions(options)}\n"
    print(f"\n{text}")
    if options.write:
        RESULTS.write_text(text)
    for name, (_, found) in results.items():
        (folder / f"{name}.evidence").write_text(found)
    if "service" in results and results["service"][1]:
        sys.exit(f"{results['service'][1]}\nThe service failed. Ledgers, logs and evidence: {folder}")
    if options.keep:
        print(f"\nLedgers, logs and evidence: {folder}")
    else:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
