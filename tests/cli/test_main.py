"""The command `candlewax` itself."""

import re
import subprocess
import sys
import tomllib
from typing import Final

import pytest

import candlewax
from candlewax.cli.main import COMMANDS, main
from tests.support.processes import ROOT

_PROBE: Final = """
import sys
from candlewax.cli.main import main
try:
    main(["--version"])
finally:
    print([name for name in sys.modules if name.startswith("candlewax.cli.")])
"""


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """With the name of the program, as other commands print it; the status is 0."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"candlewax {candlewax.__version__}\n"


def test_version_imports_no_command() -> None:
    """All of them together take seconds."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "['candlewax.cli.main']"


def test_version_has_one_place() -> None:
    """The package holds it in the form of semantic versioning; the build reads it there."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", candlewax.__version__)
    read = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "version" not in read["project"]
    assert read["project"]["dynamic"] == ["version"]
    assert read["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "candlewax.__version__"}


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """In the order in which the program knows them."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    listed = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert listed == list(COMMANDS)
