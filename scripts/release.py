"""Makes a release, `make release VERSION=1.2.0`: checks all, dates the changelog, commits, tags; never pushes."""

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from packaging.version import InvalidVersion, Version
from uv import find_uv_bin

ROOT = Path(__file__).resolve().parents[1]
CHANGELOG = ROOT / "CHANGELOG.md"
UNRELEASED = "## [Unreleased]\n"


def main(version: str) -> None:
    if reason := next(objections(version), None):
        raise SystemExit(reason)
    checked = git("rev-parse", "HEAD")
    if subprocess.run([ROOT / ".ci" / "run"], cwd=ROOT, check=False).returncode:
        raise SystemExit("Nothing was tagged, for .ci/run is red: mend what it names, then release again.")
    if git("rev-parse", "HEAD") != checked or git("status", "--porcelain"):
        raise SystemExit(
            "Nothing was tagged, for the files changed while they were checked: commit, then release again."
        )

    today = datetime.now(UTC).date()
    CHANGELOG.write_text(CHANGELOG.read_text().replace(UNRELEASED, f"{UNRELEASED}\n## [{version}] - {today}\n", 1))
    subprocess.run([find_uv_bin(), "version", "--no-sync", "--quiet", version], cwd=ROOT, check=True)
    git("commit", "--quiet", "--message", f"Release {version}", "--", "CHANGELOG.md", "pyproject.toml", "uv.lock")
    git("tag", "--annotate", "--message", f"Release {version}", f"v{version}")
    print(f"v{version} is made, here only. To publish it:\n\n    git push --atomic origin main v{version}")


def objections(version: str) -> Iterator[str]:
    """Why this version cannot be released from here, and what to do: the first reason says it best."""
    try:
        wanted = Version(version)
    except InvalidVersion:
        yield f'"{version}" is no version: type make release VERSION=1.2.0, or 1.2.0rc1 for one to try out.'
        return
    if version != wanted.public:
        yield f'"{version}" is not how Python writes it: type make release VERSION={wanted.public}.'
    if git("branch", "--show-current") != "main":
        yield "Releases are made on main: type git switch main."
    if git("status", "--porcelain"):
        yield "There are changes that no commit has: commit them, or take them away (git status names them)."
    released = versions()
    if wanted in released:
        yield f"{version} is released already, and a tag is never moved: take the next version."
    if released and wanted < max(released):
        yield f"{version} is lower than the last release, {max(released)}: take a higher version."
    if not re.search(r"^- ", unreleased(CHANGELOG.read_text()), re.MULTILINE):
        yield "CHANGELOG.md has no entry under Unreleased: say there what is new, and what to do when updating."


def versions() -> list[Version]:
    """The versions that are tagged: what Copier takes for one, too."""
    found = []
    for tag in git("tag", "--list").split():
        try:
            found.append(Version(tag))
        except InvalidVersion:
            continue
    return found


def unreleased(changelog: str) -> str:
    """The section of what is not released yet."""
    return changelog.partition(UNRELEASED)[2].partition("\n## ")[0]


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main(*sys.argv[1:])
