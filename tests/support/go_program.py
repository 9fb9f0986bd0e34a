"""Programs in Go that tests run, built once and kept."""

import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.jars import CACHE, MissingProgramError

_USUAL = "/usr/local/go/bin/go"
"""Where Go's own archive is unpacked, often outside of PATH."""


def build_program(name: str, folder: Path) -> Path:
    """Return the program of a folder with go.mod, go.sum and main.go.

    Raises MissingProgramError without Go, unless the program was built before.
    """
    sources = b"".join(path.read_bytes() for path in sorted(folder.glob("*.*")))
    program = CACHE / f"{name}-{sha256(sources).hexdigest()[:16]}"
    if program.exists():
        return program
    compiler = shutil.which("go") or shutil.which(_USUAL)
    if not compiler:
        raise MissingProgramError("go is not installed; install it, 1.21 or newer")
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=CACHE) as built:
        # Unoptimized, without a C compiler: it is run for a second.
        subprocess.run(
            [
                compiler, "build", "-mod=readonly", "-buildvcs=false", "-gcflags=all=-N -l",
                "-ldflags=-s -w", "-o", f"{built}/program", ".",
            ],
            cwd=folder,
            env={**os.environ, "CGO_ENABLED": "0"},
            check=True,
        )  # fmt: skip
        Path(built, "program").rename(program)
    return program
