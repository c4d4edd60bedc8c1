"""Says which packages of services have known vulnerabilities, or licences that nobody here has judged: `make audit`.

Each combination is rendered and installed as locked. Options go to `uv audit`. REQUIRED=1: fail without its advisories.
"""

import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

from rendering import COMBINATIONS, environment, install, render

LICENCES = {
    # as SPDX writes them: permissive ones, and weak copyleft, which ends at the package's own files
    *("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MIT-CMU"),
    *("MPL-2.0", "PSF-2.0", "Unlicense"),
    # as classifiers do
    *("Apache Software License", "BSD License", "MIT License", "Mozilla Public License 2.0 (MPL 2.0)"),
    "The Unlicense (Unlicense)",
    "MIT style",  # lupa: its LICENSE.txt is MIT's text
}


def main(options: list[str]) -> None:
    bad: set[str] = set()
    reachable = True
    with tempfile.TemporaryDirectory() as folder:
        for name, answers in COMBINATIONS.items():
            service = render(Path(folder) / name, **answers)
            install(service)
            bad |= unjudged(service / ".venv")
            if not reachable:
                continue
            try:
                bad |= vulnerabilities(service, *options)
            except ConnectionError as error:
                reachable = False
                print(f"Known vulnerabilities were not looked up: {error}")
                bad |= {"REQUIRED=1 wants them looked up."} if os.environ.get("REQUIRED") else set()
    if bad:
        raise SystemExit("\n".join(sorted(bad)))
    nothing = "no licence that nobody has judged" + (", no known vulnerability" if reachable else "")
    print(f"{len(COMBINATIONS)} combinations: {nothing}.")


def vulnerabilities(service: Path, *options: str) -> set[str]:
    """What is known of the packages that production installs; ConnectionError where that cannot be had."""
    command = ["uv", "audit", "--locked", "--no-dev", "--preview-features", "audit-command", *options]
    done = subprocess.run(command, cwd=service, env=environment(service), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise ConnectionError(" ".join(done.stderr.partition("error: ")[2].split()))
    return {done.stdout.strip()} if done.returncode else set()


def unjudged(installed: Path) -> set[str]:
    """A sentence on each package of an environment whose licence is not one of those above."""
    packages = distributions(path=[str(path) for path in installed.glob("**/site-packages")])
    return {
        f"{package.name} has a licence that nobody here has judged ({found}): read it, then put it on the list in "
        "scripts/audit.py, or take another package."
        for package in packages
        if (found := licence(package)) not in LICENCES and not LICENCES.issuperset(re.split(" AND | OR ", found))
    }


def licence(package: Distribution) -> str:
    """What a package says of its licence: an expression of SPDX, or else classifiers, or else words of its own."""
    said = package.metadata
    texts = [text for text in said.get_all("Classifier", []) if text.startswith("License ::")]
    # one of them says that there is a licence, and not which
    classifiers = [text.split(" :: ")[-1] for text in texts if text != "License :: OSI Approved"]
    return said["License-Expression"] or " AND ".join(classifiers) or (said["License"] or "unknown").splitlines()[0]


if __name__ == "__main__":
    main(sys.argv[1:])
