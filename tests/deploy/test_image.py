"""The Dockerfile, read and played without Docker: it installs the wheel and no test package."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

from candlewax.data import DDL
from tests.deploy.reading import ROOT

TEXT: Final = re.sub(r"\\\n +", "", (ROOT / "Dockerfile").read_text("utf-8"))
LINES: Final = [line for line in TEXT.splitlines() if line and not line.startswith("#")]
RUNS: Final = [line.removeprefix("RUN ") for line in LINES if line.startswith("RUN ")]
COPIES: Final = [
    line.split()[1:] for line in LINES if line.startswith("COPY ") and "--from" not in line
]


def test_image_copies_existing_files_onto_a_pinned_base() -> None:
    """Exactly the copied files are allowed by .dockerignore."""
    bases = {line.split()[1] for line in LINES if line.startswith("FROM ")}
    assert bases == {"python:3.12.15-slim-trixie"}
    copied = {source for *sources, _ in COPIES for source in sources}
    assert all((ROOT / source).exists() for source in copied)
    ignore_lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignore_lines
    assert {line[1:] for line in ignore_lines if line.startswith("!")} == copied


def test_image_installs_hashed_locks_to_build_and_to_run_and_then_the_wheel() -> None:
    """The packages of the tests are in neither lock; tests/install/test_locks.py shows it."""
    installs = [line for line in RUNS if " install " in f"{line} " and "pip" in line]
    assert len(installs) == 3
    for line, lock in zip(installs, ("build", "run"), strict=False):
        assert line.endswith(
            f"--require-hashes --only-binary :all: -r /locks/requirements-{lock}.txt"
        )
    assert installs[2].endswith("install --no-index --no-deps /wheel/*.whl")
    assert "editable" not in TEXT


def test_image_runs_as_a_user_without_rights() -> None:
    users = [line.split()[1] for line in LINES if line.startswith("USER ")]
    assert users == ["10001:10001"]
    last = [line.partition(" ")[0] for line in LINES][-2:]
    assert last == ["USER", "ENTRYPOINT"]


def test_copied_files_build_a_wheel_that_holds_what_they_need(tmp_path: Path) -> None:
    """By the command of the image, in a directory with nothing else."""
    for *sources, target in COPIES:
        for source in sources if not target.startswith(("/", "deploy")) else ():
            path = ROOT / source
            if path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(path, tmp_path / target, ignore=ignored)
            else:
                shutil.copy(path, tmp_path / target)
    (command,) = [line for line in RUNS if line.startswith("pip wheel ")]
    words = command.replace("/wheel", str(tmp_path / "wheel")).split()
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheel").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ddl = {f"candlewax/data/clickhouse/ddl/{path.relative_to(DDL)}" for path in DDL.rglob("*.sql")}
    others = {"candlewax/data/instruments.toml", "dataflows/ohlcv.py", "candlewax/cli/main.py"}
    assert ddl | others <= names
