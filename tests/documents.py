"""Follows a page as its reader would: types its commands, writes its files, and compares what it shows.

Commands are in blocks of `console`, a line each, and must succeed; a call that ends in `# 202` must be answered so.
What runs until Ctrl-C is started in the background. A block of Python that follows the name of a file is that file, a
`diff` is applied to it. A block of `json` or `text` is what the commands before it print, `...` standing for anything.
The comment `<!-- not run: WHY -->` keeps the next block from being run.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
from markdown_it import MarkdownIt
from servers import wait_until

FILE = re.compile(r"`([\w./-]+\.\w+)`[^`]*:$")
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
CALL = re.compile(r"^(curl .*) # (\d+)(?: or (\d+))?$")
CALL_OPTIONS = " --silent --show-error --max-time 20 --write-out '\\n%{http_code}'"
API_SIGN, WORKER_SIGN = "Application startup complete", " ready."
UNTIL_CTRL_C = {
    re.compile(r"make dev$"): (API_SIGN, WORKER_SIGN),
    re.compile(r"make worker$|uv run celery .* worker( |$)"): (WORKER_SIGN,),
    re.compile(r"make beat$|uv run celery .* beat( |$)"): ("this beat is at work",),
}
"""The programs that do not end by themselves, and what they say when they are ready."""
SHOWN = ("json", "text")


@dataclass(frozen=True)
class Block:
    line: int
    kind: str
    text: str
    file: str | None
    """The one that the sentence before it names."""
    not_run: str | None
    """Why."""

    def commands(self) -> list[str]:
        return [line for line in self.text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]


def read_blocks(page: Path) -> Iterator[Block]:
    file = not_run = None
    for token in MarkdownIt().parse(page.read_text()):
        if token.type == "html_block" and (found := NOT_RUN.search(token.content)):
            not_run = found[1]
        elif token.type == "inline":
            file = found[1] if (found := FILE.search(token.content)) else None
        elif token.type == "fence":
            yield Block((token.map or [0])[0] + 1, token.info, token.content, file, not_run)
            file = not_run = None


class Reader:
    """Who has a shell that begins in a folder. What it has started ends with it."""

    def __init__(self, folder: Path, environment: Mapping[str, str], instead: Mapping[str, str]) -> None:
        """`instead` has what this reader types where the page says something else."""
        self._state = Path(tempfile.mkdtemp(prefix="reader-"))
        (self._state / "folder").write_text(str(folder))
        (self._state / "variables").touch()
        self._environment = {**environment, "STATE": str(self._state)}
        self._instead = instead
        self._started: dict[str, Program] = {}
        self._task_id = ""
        self._output = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program in self._started.values():
            program.end()
        shutil.rmtree(self._state)

    @property
    def folder(self) -> Path:
        return Path((self._state / "folder").read_text().strip())

    def follow(self, page: Path, *, but: Callable[[Block], bool] = lambda _: False) -> None:
        """`but` tells what is there to be read alone."""
        for block in read_blocks(page):
            try:
                if not but(block):
                    self._follow(block)
            except BaseException as error:
                error.add_note(f"{page.name}, line {block.line}")
                raise

    def _follow(self, block: Block) -> None:
        if block.not_run:
            return
        if block.kind == "console":
            for program in self._started.values():
                program.wait_until_ready()
            self._output = ""
            for command in block.commands():
                self.type(command)
        elif block.kind in SHOWN:
            assert shows(self._output, block.text), f"It printed:\n{self._output}"
        else:
            assert block.file, f"Nothing says what to do with this block of {block.kind!r}."
            if block.file.startswith("app/") and "make dev" in self._started:
                self._started["make dev"].expect_restart()
            file = self.folder / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(apply(block.text, file.read_text()) if block.kind == "diff" else block.text)

    def type(self, command: str) -> None:
        typed = command.replace("TASK_ID", self._task_id)
        for said, instead in self._instead.items():
            typed = typed.replace(said, instead)
        if signs := next((signs for program, signs in UNTIL_CTRL_C.items() if program.match(command)), None):
            if command in self._started:
                self._started[command].end()
            self._started[command] = Program(self._shell(typed), signs)
        elif call := CALL.match(typed):
            body, status = self._run(call[1] + CALL_OPTIONS).rsplit("\n", 1)
            assert status in call.groups()[1:], f"{typed}\n{status} {body}"
            self._output += body
        else:
            self._output += self._run(typed)
        if found := re.findall(r'"task_id":"([^"]+)"', self._output):
            self._task_id = found[-1]

    def _run(self, command: str) -> str:
        # each line has a shell of its own, which begins where the last one ended
        keep = 'status=$?; export -p > "$STATE/variables"; pwd > "$STATE/folder"; exit $status'
        with self._shell(f"set -a\n{command}\n{keep}") as shell:
            printed, _ = shell.communicate()
        assert shell.returncode == 0, f"{command}\nended with {shell.returncode}:\n{printed}"
        return str(printed)

    def _shell(self, script: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["bash", "-c", f'. "$STATE/variables"\n{script}'],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


class Program:
    """It runs until Ctrl-C; what it prints is read as it comes."""

    def __init__(self, process: "subprocess.Popen[str]", signs: Sequence[str]) -> None:
        self._process = process
        self._signs = signs
        self._printed: list[str] = []
        self._since = 0
        threading.Thread(target=self._read, daemon=True).start()
        self.wait_until_ready()

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            self._printed.extend(lines)

    def wait_until_ready(self) -> None:
        wait_until(self._is_ready, 60, self._log)
        assert self._process.poll() is None, self._log()

    def _is_ready(self) -> bool:
        return self._process.poll() is not None or all(sign in self._log() for sign in self._signs)

    def _log(self) -> str:
        return "".join(self._printed[self._since :])

    def expect_restart(self) -> None:
        """Of `make dev`, when a file is written: it notices by itself, and says once more that it is ready."""
        self._since = len(self._printed)

    def end(self) -> None:
        """As Ctrl-C does."""
        if self._process.poll() is None:
            family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
            os.killpg(self._process.pid, signal.SIGINT)
            _, alive = psutil.wait_procs(family, timeout=30)
            for process in alive:
                process.kill()
        self._process.wait()


def shows(output: str, shown: str) -> bool:
    """Whether it contains what is shown, white space aside."""
    parts = ["".join(part.split()) for part in shown.split("...")]
    return bool(re.search(".*".join(map(re.escape, parts)), "".join(output.split())))


def apply(diff: str, text: str) -> str:
    """The text with a change made whose lines, and those around it, occur in it once."""
    before = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] in " -")
    after = "".join(line[1:] for line in diff.splitlines(keepends=True) if line[0] in " +")
    assert text.count(before) == 1, f"There is not one place that looks like this:\n{before}"
    return text.replace(before, after)
