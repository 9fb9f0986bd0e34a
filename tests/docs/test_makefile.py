"""Targets of the Makefile: all are described, and the fast tests are those that the pages say."""

import re
import subprocess
from typing import Final

import pytest

from tests.support.processes import ROOT

TEXT: Final = (ROOT / "Makefile").read_text("utf-8")


def _make(*words: str) -> str:
    """Run make. Tests run below it: what it hands down would change what it prints."""
    clean = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(ROOT)}
    done = subprocess.run(
        ["make", *words], cwd=ROOT, env=clean, capture_output=True, text=True, check=True
    )
    return done.stdout


def _helped() -> dict[str, str]:
    lines = [re.fullmatch(r"make ([a-z-]+) +(.+)", line) for line in _make("help").splitlines()]
    assert all(lines), lines
    return {line.group(1): line.group(2) for line in lines if line}


def test_help_has_a_line_for_every_target() -> None:
    """In the order in which they stand in the Makefile."""
    phony = re.search(r"^\.PHONY: (.+)$", TEXT, re.MULTILINE)
    assert phony
    assert sorted(_helped()) == sorted(phony.group(1).split())
    assert list(_helped()) == re.findall(r"^([a-z-]+):", TEXT, re.MULTILINE)


def test_lines_of_help_are_short_and_begin_with_a_verb() -> None:
    """A line fits a terminal of 120 columns."""
    for name, text in _helped().items():
        assert len(text) <= 100, name
        assert re.match(r"[a-z]+ ", text), name
        assert not text.endswith("."), name


def test_fast_tests_are_lint_types_and_unit_tests() -> None:
    """What `make test-fast` would run, in this order."""
    lines = _make("--dry-run", "test-fast")
    assert re.search(r"ruff check \..*ruff format --check \..*mypy.*pytest", lines, re.DOTALL)
    command = lines[lines.index("pytest") :]
    assert "-m 'not slow'" in command
    paths = re.findall(r"\btests/\S+", command)
    assert {"tests/core", "tests/exchanges", "tests/runtime"} <= set(paths)
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("target", ["run", "test"])
def test_targets_that_readers_know_stay(target: str) -> None:
    """The first target of all is `run`: `make` alone replays the sample."""
    assert target in _helped()
    assert re.findall(r"^([a-z-]+):", TEXT, re.MULTILINE)[0] == "run"
