"""How many cores there are for a process."""

import os
from pathlib import Path

import pytest

from candlewax.runtime.cpu import count_cores

NOWHERE = Path("/nowhere")


def given(folder: Path, text: str) -> Path:
    limit = folder / "cpu.max"
    limit.write_text(text)
    return limit


@pytest.fixture(autouse=True)
def _eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)


def test_they_are_those_it_may_run_on() -> None:
    """Of sixteen, eight."""
    assert count_cores(NOWHERE) == 8


def test_where_a_system_does_not_say_they_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """One, if it does not even say that."""
    monkeypatch.delattr(os, "sched_getaffinity")
    assert count_cores(NOWHERE) == 16
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert count_cores(NOWHERE) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100000 100000\n", 1),
        ("150000 100000\n", 2),
        ("20000 100000\n", 1),
        ("800000 100000\n", 8),
        ("3200000 100000\n", 8),
        ("max 100000\n", 8),
        ("", 8),
    ],
)
def test_a_container_has_no_more_than_it_is_given(tmp_path: Path, text: str, expected: int) -> None:
    """Time of one core in each period is one core; a part of one is one, too."""
    assert count_cores(given(tmp_path, text)) == expected
