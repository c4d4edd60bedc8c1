"""Programs that read files and name what is wrong with them; they are installed beside this Python."""

import subprocess
import sys
from pathlib import Path

from servers import unavailable


def check(program: str, *arguments: str | Path, read: str = "") -> None:
    """AssertionError with what the program says, if it finds anything; `-` among the arguments stands for `read`."""
    path = Path(sys.executable).with_name(program)
    if not path.exists():
        unavailable(f"{program} is not to be had on this machine")
    done = subprocess.run([path, *arguments], input=read, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}{read}"
