"""Time to render the service: this template with Copier, beside the very same tree with cookiecutter.

`make bench-rendering`, or `make bench-rendering OPTIONS='--rounds 5'`.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import copier
import rendering
from cookiecutter.main import cookiecutter  # type: ignore[import-untyped]  # it has no stubs

HERE = Path(__file__).resolve().parent
ANSWERS = {
    "project_name": "Measured Service",
    "project_slug": "measured-service",
    "project_description": "A service to measure with.",
    "python_version": "3.13",
}
ROOMS = {"use_examples": "false"}
"""Without the cookbook, as it was measured at first."""
ANSWERS_FILE = ".copier-answers.yml"
TOOLS = ("copier", "cookiecutter")
Render = Callable[[str, Path], object]
"""From a source into a folder that is not there yet."""


def copier_api(source: str, destination: Path) -> None:
    copier.run_copy(source, destination, data=ANSWERS | ROOMS, defaults=True, quiet=True, vcs_ref="HEAD")


def copier_cli(source: str, destination: Path) -> None:
    answers = [word for key, value in (ANSWERS | ROOMS).items() for word in ("--data", f"{key}={value}")]
    run("copier", "copy", "--defaults", "--quiet", "--vcs-ref", "HEAD", *answers, source, str(destination))


def cookiecutter_api(source: str, destination: Path) -> None:
    cookiecutter(source, no_input=True, extra_context=ANSWERS, output_dir=str(destination))


def cookiecutter_cli(source: str, destination: Path) -> None:
    answers = [f"{key}={value}" for key, value in ANSWERS.items()]
    run("cookiecutter", "--no-input", "--output-dir", str(destination), source, *answers)


def run(program: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", program, *arguments], check=True, capture_output=True)


def write_cookiecutter_template(service: Path, template: Path) -> None:
    """The rendered service with cookiecutter's variables where ours has Copier's; it copies what ours copies."""
    only_copied = []
    for file in filter(Path.is_file, service.rglob("*")):
        name = file.relative_to(service)
        target = template / "{{ cookiecutter.project_slug }}" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
        if (HERE.parent / "template" / f"{name}.jinja").exists():
            text = file.read_text().replace("{{", "{{ '{{' }}")
            for key, value in ANSWERS.items():
                text = text.replace(value, f"{{{{ cookiecutter.{key} }}}}")
            target.write_text(text)
        else:
            only_copied.append(str(name))
    (template / "cookiecutter.json").write_text(json.dumps(ANSWERS | {"_copy_without_render": only_copied}))


def make_sources(folder: Path) -> dict[str, tuple[str, str]]:
    """Where the template comes from: for Copier, and for cookiecutter."""
    ours, theirs = folder / "ours", folder / "theirs"
    rendering.take_snapshot(ours)
    copier_api(str(ours), folder / "service")
    write_cookiecutter_template(folder / "service", theirs)
    rendering.git(theirs, "init", "--quiet")
    rendering.git(theirs, "add", "--all", "--force")
    rendering.git(theirs, "commit", "--quiet", "--message", "The same")
    plain = [
        shutil.copytree(source, f"{source}-plain", ignore=shutil.ignore_patterns(".git")) for source in (ours, theirs)
    ]
    return {
        "a folder": (str(plain[0]), str(plain[1])),
        "a Git repository": (f"git+file://{ours}", f"git+file://{theirs}"),
    }


def tree(folder: Path) -> dict[Path, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != ANSWERS_FILE)
    return {file.relative_to(folder): file.read_bytes() for file in files}


def isolate(folder: Path) -> None:
    """Caches and settings of this machine's user play no part, and are left alone."""
    folder.mkdir()
    (folder / "copier.yml").write_text("{}\n")
    (folder / "cookiecutter.yml").write_text(f"cookiecutters_dir: {folder}/templates\nreplay_dir: {folder}/replay\n")
    (folder / "gitconfig").write_text("[user]\nname = Benchmark\nemail = benchmark@example.org\n")
    os.environ |= {
        "XDG_CACHE_HOME": str(folder),
        "COPIER_SETTINGS_PATH": str(folder / "copier.yml"),
        "COOKIECUTTER_CONFIG": str(folder / "cookiecutter.yml"),
        "GIT_CONFIG_GLOBAL": str(folder / "gitconfig"),
    }


def milliseconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def print_row(source: str, way: str, times: list[list[float]]) -> None:
    ratio = median(ours / theirs for ours, theirs in zip(*times, strict=True))
    print(f"| {source} | {way} | {median(times[0]):.0f} | {median(times[1]):.0f} | {ratio:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds

    print("| from | as | Copier, ms | cookiecutter, ms | Copier / cookiecutter |\n|---|---|--:|--:|--:|")
    starts = [[milliseconds(partial(run, tool, "--version")) for _ in range(rounds)] for tool in TOOLS]
    print_row("nothing (`--version`)", "command", starts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        isolate(folder / "settings")
        sources = make_sources(folder)
        ways: dict[str, tuple[Render, Render]] = {
            "command": (copier_cli, cookiecutter_cli),
            "API call": (copier_api, cookiecutter_api),
        }
        for (source, addresses), (way, renders) in product(sources.items(), ways.items()):
            tools = [partial(render, address) for render, address in zip(renders, addresses, strict=True)]
            times: list[list[float]] = [[], []]
            for number in range(-1, rounds):  # the first is to warm up
                results = [folder / f"{tool}-{number}" for tool in TOOLS]
                for index in (0, 1) if number % 2 == 0 else (1, 0):
                    taken = milliseconds(partial(tools[index], results[index]))
                    if number >= 0:
                        times[index].append(taken)
                if tree(results[0]) != tree(results[1] / ANSWERS["project_slug"]):
                    raise SystemExit("The two have not rendered the same files.")
                for result in results:
                    shutil.rmtree(result)
            print_row(source, way, times)
    print(f"\nMedians of {rounds} rounds. Python {platform.python_version()}, {os.cpu_count()} CPUs.")


if __name__ == "__main__":
    main()
