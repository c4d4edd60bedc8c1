"""This repository's own quality, and that of what it renders: shell, workflows, make."""

import configparser
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from checkers import check
from rendering import ROOT, list_files

FILES = [ROOT / name for name in list_files()]
SHELL = re.compile(rb"#!.*\b(sh|bash|dash)\b")


@pytest.fixture(params=["repository", "service"])
def folder(request: pytest.FixtureRequest, rendered: Callable[[str], Path]) -> Path:
    return ROOT if request.param == "repository" else rendered("examples-postgresql")


def test_each_shell_script_is_sound() -> None:
    scripts = [file for file in FILES if file.suffix in {".sh", ".bash"} or SHELL.match(file.read_bytes())]
    assert ROOT / ".ci" / "run" in scripts
    check("shellcheck", *scripts)


def test_each_workflow_is_sound(folder: Path) -> None:
    check("zizmor", "--offline", "--quiet", "--config", ROOT / "zizmor.yml", folder / ".github")
    workflows = sorted((folder / ".github" / "workflows").glob("*.yml"))
    check("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows)
    for workflow in workflows:
        for script in steps(workflow):
            check("shellcheck", "--shell=bash", "-", read=script)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("run: echo ${{ github.event.issue.title }}", "template-injection"),
        ("run: true\n    - uses: actions/checkout@v6", "artipacked"),
    ],
)
def test_a_weak_workflow_is_caught(tmp_path: Path, text: str, named: str) -> None:
    weak = tmp_path / ".github" / "workflows" / "weak.yml"
    weak.parent.mkdir(parents=True)
    weak.write_text(
        f"on: issues\npermissions: {{}}\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n    - {text}\n"
    )
    with pytest.raises(AssertionError, match=rf"\[{named}\]"):
        check("zizmor", "--offline", "--quiet", "--config", ROOT / "zizmor.yml", weak.parents[1])


def test_help_lists_each_target_of_make(folder: Path) -> None:
    text = (folder / "Makefile").read_text()
    targets = set(re.findall(r"^([a-zA-Z][\w-]*):(?!=)", text, re.MULTILINE))
    command = ["make", "--no-print-directory", "help"]
    listed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in listed.splitlines()} == targets
    phony = re.findall(r"^\.PHONY:((?:.*\\\n)*.*)", text, re.MULTILINE)
    assert set(" ".join(phony).replace("\\\n", " ").split()) == targets


def test_types_are_checked_wherever_there_is_python() -> None:
    configuration = configparser.ConfigParser()
    configuration.read(ROOT / "mypy.ini")
    folders = {file.relative_to(ROOT).parts[0] for file in FILES if file.suffix == ".py"}
    assert folders - {"template"} == set(re.split(r",\s*", configuration["mypy"]["files"]))


def steps(workflow: Path) -> Iterator[str]:
    """The shell that a workflow runs, a word in place of each of GitHub's expressions."""
    for job in yaml.safe_load(workflow.read_text())["jobs"].values():
        for step in job.get("steps", []):
            if "run" in step and step.get("shell", "bash") in {"bash", "sh"}:
                yield re.sub(r"\$\{\{.*?\}\}", "expression", step["run"])
