"""Programs of docs/cold-tier.md, as a reader would run them."""

import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support import cold_tables, playing
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "cold-tier.md").read_text("utf-8")


@pytest.mark.usefixtures("traded")
def test_program_of_the_page_reads_the_archive(tmp_path: Path) -> None:
    """It sums the volume of one market."""
    (lines,) = re.findall(r"\n\n((?:    .*\n|\n)*    .*SqlCatalog.*\n(?:    .*\n|\n)*)", PAGE)
    program = "\n".join(line[4:] for line in lines.splitlines())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cold").symlink_to(Path("cold").resolve())
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env={**os.environ}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    fills = playing.all_fills(cold_tables.two_hours())
    volume = sum(one.price * one.quantity for one in fills if one.exchange == "binance")
    assert str(Decimal(volume).normalize()) in done.stdout
