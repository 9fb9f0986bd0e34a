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
    """With the name of the program and status 0."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"candlewax {candlewax.__version__}\n"


def test_version_imports_no_command() -> None:
    """Importing all of them would take seconds."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "['candlewax.cli.main']"


def test_version_has_one_place() -> None:
    """It is a semantic version in the package, from which the build reads it."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", candlewax.__version__)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "version" not in project["project"]
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "candlewax.__version__"}


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of COMMANDS."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    listed = re.findall(r"^    (\w+)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    assert listed == list(COMMANDS)


def test_unknown_argument_is_named_with_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["instruments", "okx", "BTC/USDT", "--in-palce"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "candlewax instruments: takes no BTC/USDT --in-palce; candlewax instruments --help lists "
        "what it takes\n"
    )
