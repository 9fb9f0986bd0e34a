"""Without CANDLEWAX_COLD nothing of the cold tier is loaded."""

import subprocess
import sys

from tests.support.processes import ROOT

_PROBE = """
import sys
from candlewax.cli import serve, up
from candlewax.pipeline import app
import dataflows.ohlcv
parts = ("pyiceberg", "sqlalchemy", "candlewax.cold")
print(sorted(name for name in sys.modules if name.startswith(parts)))
"""


def test_pipeline_and_page_import_nothing_of_it() -> None:
    """PyIceberg and its catalog alone take 160 MB."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
