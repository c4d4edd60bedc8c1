"""Says what needs a look after `copier update`, before it is committed: make after-update [since=COMMIT].

Copier's own exit status is 0 with conflicts in files, with edited files deleted, and with answers that it dropped.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ANSWERS = ".copier-answers.yml"
MIGRATIONS = "migrations/versions"
SETTINGS = Path("secret/.env.production")


def conflicts(since: str) -> Iterator[str]:
    if files := {line.split(":")[0] for line in git("diff", "--check", since) if line.endswith("conflict marker")}:
        yield f"Conflicts: choose between what is marked <<<<<<< and >>>>>>> in {', '.join(sorted(files))}"


def deletions(since: str) -> Iterator[str]:
    deleted = git("diff", "--name-only", "--no-renames", "--diff-filter=D", since)
    if migrations := [name for name in deleted if name.startswith(MIGRATIONS)]:
        yield f"""Migrations are gone that databases have been through; keep them, and let one more drop what they made:
    {restore(since, migrations)}
    make migrate && make migration name="drop what is not used\""""
    for name in sorted(edited(since, deleted) - {*migrations}):
        yield f"""{name} is gone, and your edits with it; to see them, and to have it back:
    git log --patch -- {shlex.quote(name)}
    {restore(since, [name])}"""


def answers(since: str) -> Iterator[str]:
    """A new version that refuses an old answer takes its own default instead, without a word."""
    changes = [line for line in git("diff", "--unified=0", since, "--", ANSWERS) if re.match(r"[-+][^-+#]", line)]
    mine = [line for line in changes if line[1] != "_"]
    if len(mine) < len(changes) and any(line.startswith("-") for line in mine):
        yield f"""Answers of yours have changed, with the version: {", ".join(mine)}
If that was not you, undo the update, and answer anew:
    git reset --hard && git clean --force -d
    uvx copier update --data QUESTION=ANSWER"""


def heads(_: str) -> Iterator[str]:
    """Read without Alembic, for what the service needs is perhaps not installed yet."""
    texts = [file.read_text() for file in Path(MIGRATIONS).glob("*.py")]
    revisions = {found for text in texts for found in re.findall(r"^revision\b.*?[\"'](\w+)", text, re.MULTILINE)}
    lines = [line for text in texts for line in re.findall(r"^down_revision\b.*", text, re.MULTILINE)]
    built_on = {found for line in lines for found in re.findall(r"[\"'](\w+)[\"']", line)}
    newest = sorted(revisions - built_on)
    if len(newest) > 1 and built_on <= revisions:
        yield f"""Migrations {" and ".join(newest)} all claim to be the newest; join them:
    uv run alembic merge heads --message join"""


def settings(_: str) -> Iterator[str]:
    mine, known = (
        set(re.findall(r"^([A-Z][A-Z0-9_]*)=", file.read_text(), re.MULTILINE)) if file.exists() else set[str]()
        for file in (SETTINGS, Path(f"{SETTINGS}.example"))
    )
    if mine - known:
        yield f"{SETTINGS} sets what nothing reads any longer: {', '.join(sorted(mine - known))}"


def git(*arguments: str) -> list[str]:
    """What it prints, by line; paths are as seen from this folder."""
    command = ["git", "-c", "core.quotePath=false", arguments[0], "--relative", *arguments[1:]]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 (names that Git gave us)
    if done.returncode not in (0, 2):  # 2: --check has found something
        raise SystemExit(done.returncode)
    return done.stdout.splitlines()


def restore(since: str, names: list[str]) -> str:
    return shlex.join(["git", "restore", f"--source={since}", "--", *names])


def edited(since: str, names: list[str]) -> set[str]:
    """Those that were committed without the answers: neither when they were rendered, nor by an update."""
    commits = "\n".join(git("log", "--format=%x00", "--name-only", since, "--", ANSWERS, *names)).split("\0")
    return {name for commit in commits if ANSWERS not in commit for name in commit.split("\n") if name}


CHECKS = (conflicts, deletions, answers, heads, settings)


def main(since: str = "HEAD") -> None:
    findings = [finding for check in CHECKS for finding in check(since)]
    print(*findings or ["Nothing of yours is lost, and nothing conflicts."], sep="\n\n")
    raise SystemExit(bool(findings))


if __name__ == "__main__":
    main(*sys.argv[1:])
