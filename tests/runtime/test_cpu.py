"""count_cores: the cores that a process may use."""

import os
from pathlib import Path

import pytest

from candlewax.runtime.cpu import count_cores

NOWHERE = Path("/nowhere")


def write_limit(folder: Path, text: str) -> Path:
    limit = folder / "cpu.max"
    limit.write_text(text)
    return limit


@pytest.fixture(autouse=True)
def _eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)


def test_cores_are_those_of_the_affinity() -> None:
    """Eight of sixteen."""
    assert count_cores(NOWHERE) == 8


def test_cores_are_all_on_a_system_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    """One, if their number is unknown."""
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
def test_cores_are_limited_by_the_quota_of_the_container(
    tmp_path: Path, text: str, expected: int
) -> None:
    """The quota divided by the period, rounded up."""
    assert count_cores(write_limit(tmp_path, text)) == expected
