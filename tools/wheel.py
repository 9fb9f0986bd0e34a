"""Builds the wheel into a folder: wheel.py FOLDER [SOURCES]

SOURCES is a checkout or an unpacked source distribution, by default this checkout.

The same sources give the same bytes, whatever the time, the umask and leftovers of other builds.
SOURCE_DATE_EPOCH, in seconds since 1970, is the time of its files: 1980 by default.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

INPUTS: Final = (
    "LICENSE", "README.md", "candlewax", "clickhouse", "dataflows", "instruments.toml",
    "pyproject.toml", "setup.py",
)  # fmt: skip
"""Files and folders of the checkout that the build reads."""

_EARLIEST: Final = "315532800"
"""The earliest time that a zip file can hold."""


def build(folder: Path, root: Path = ROOT) -> Path:
    """Build the wheel of the sources in `root`, without a network, and return its path.

    Raises CalledProcessError if the build fails.
    """
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as temporary:
        sources, wheels = Path(temporary, "sources"), Path(temporary, "wheels")
        sources.mkdir()
        for name in INPUTS:
            _copy(root / name, sources / name)
        subprocess.run(
            [
                sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
                "--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir",
                "--wheel-dir", str(wheels), str(sources),
            ],
            env={"SOURCE_DATE_EPOCH": _EARLIEST, **os.environ},
            check=True,
        )  # fmt: skip
        (wheel,) = wheels.iterdir()
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, folder))


def _copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, without what was compiled, and without its permissions."""
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "*.py[cod]", "*.egg-info")
        shutil.copytree(source, target, ignore=ignored, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    print(build(*map(Path, sys.argv[1:])))
