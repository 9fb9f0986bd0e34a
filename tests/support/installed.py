"""The wheel, installed where no checkout is, beside the packages of the lock for run time.

These packages come from the environment of the tests, file by file of each distribution's own
list: it was installed from a lock that holds the same hashes, which tests/install/test_locks.py
checks. So nothing is fetched, and no package that only tests need is there.
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.markers import Marker

from tests.support.processes import ROOT

LOCK: Final = ROOT / "requirements.txt"
RUN_LOCK: Final = ROOT / "requirements-run.txt"
BUILD_LOCK: Final = ROOT / "requirements-build.txt"

_LOCKED: Final = re.compile(
    r"^([\w.-]+)==([^\s;\\]+)(?: ; (.+?))?((?: \\\n    --hash=\S+)+)$", re.MULTILINE
)

PIP: Final = (sys.executable, "-m", "pip", "--disable-pip-version-check")


@dataclass(frozen=True)
class Locked:
    """A line of a lock."""

    name: str
    version: str
    marker: str
    hashes: frozenset[str]


def read_lock(path: Path) -> list[Locked]:
    """Return all lines of a lock, of which none may have another form."""
    text = path.read_text("utf-8")
    assert _LOCKED.sub("", text).strip() == ""
    return [
        Locked(name, version, marker, frozenset(re.findall(r"--hash=(\S+)", hashes)))
        for name, version, marker, hashes in _LOCKED.findall(text)
    ]


def locked_here(path: Path) -> list[Locked]:
    """Return the lines of a lock that this Python version and system install."""
    return [one for one in read_lock(path) if not one.marker or Marker(one.marker).evaluate()]


def build_wheel(folder: Path, *sources: Path) -> Path:
    """Build the wheel of the checkout, or of other sources, as `make wheel` does."""
    done = subprocess.run(
        [sys.executable, "tools/wheel.py", folder, *sources],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def candlewax(self) -> Path:
        """Its command."""
        return self.folder / "bin" / "candlewax"


def install(folder: Path, wheel: Path, further: Iterable[str] = ()) -> Environment:
    """Create an environment with the packages of the lock for run time, further distributions of
    the tests' environment, and the wheel.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    made = Environment(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    for one in locked_here(RUN_LOCK):
        distribution = metadata.distribution(one.name)
        assert distribution.version == one.version
        _link(distribution, site)
    for name in further:
        _link(metadata.distribution(name), site)
    pip = (*PIP, "--python", str(made.python))
    command = [*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run(command, check=True)
    # All that the wheel and these packages require is there, in versions that they accept.
    subprocess.run([*pip, "check"], check=True, capture_output=True)
    return made


def _link(distribution: metadata.Distribution, site: Path) -> None:
    for file in distribution.files or ():
        target = site / file
        # Programs stand elsewhere, and two distributions may list the same file.
        if file.parts[0] != ".." and not target.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(Path(str(distribution.locate_file(file))))
