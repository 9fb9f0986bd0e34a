"""Jars of real servers and clients that tests run, fetched from Maven Central once and kept."""

import os
import shutil
import subprocess
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NoReturn

import pytest

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "candlewax"


class MissingProgramError(RuntimeError):
    """A server or client cannot be run here; the text says which program is missing."""


def do_without(error: MissingProgramError) -> NoReturn:
    """Skip, or fail where tests may not be skipped."""
    if os.environ.get("CANDLEWAX_TEST_REQUIRED"):
        pytest.fail(str(error))
    pytest.skip(str(error))


def fetch_jars(name: str, pom: Path, instead: str) -> Path:
    """Return the folder with the runtime jars of a pom.

    `instead` ends the text of the MissingProgramError that is raised without Java or Maven.
    """
    jars = CACHE / f"{name}-{sha256(pom.read_bytes()).hexdigest()[:16]}"
    for program in ("java", "mvn"):
        if not shutil.which(program) and not (program == "mvn" and jars.exists()):
            raise MissingProgramError(f"{program} is not installed; install it, or {instead}")
    if jars.exists():
        return jars
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=CACHE) as fetched:
        subprocess.run(
            [
                "mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies",
                f"-DoutputDirectory={fetched}/jars", "-DincludeScope=runtime",
            ],
            check=True,
        )  # fmt: skip
        # All at once, or another who fetches them was first.
        with suppress(OSError):
            Path(fetched, "jars").rename(jars)
    return jars
