"""The number of processes that share the tests."""

import os
from pathlib import Path

import pytest

from tests.support import workers

GIB = 1 << 30
OUTSIDE = ("CANDLEWAX_TEST_BROKERS", "CANDLEWAX_TEST_REST")


@pytest.mark.parametrize(
    ("cores", "gib", "expected"),
    [(2, 24, 3), (16, 16, 8), (64, 256, 65), (1, 4, 2), (8, 1, 1)],
)
def test_workers_are_bounded_by_cores_and_memory(
    monkeypatch: pytest.MonkeyPatch, cores: int, gib: int, expected: int
) -> None:
    """One more than the cores, one for each two gibibytes, and at least one."""
    for name in OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(workers, "count_cores", lambda: cores)
    monkeypatch.setattr(workers, "memory", lambda: gib * GIB)
    assert workers.workers() == expected


@pytest.mark.parametrize("name", OUTSIDE)
def test_tests_on_a_shared_server_run_in_one_process(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """On a broker, or on a catalog."""
    for other in OUTSIDE:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "127.0.0.1:19092")
    assert workers.workers() == 0


@pytest.mark.parametrize(
    ("text", "gib"), [(f"{4 * GIB}\n", 4), (f"{64 * GIB}\n", 16), ("max\n", 16), (None, 16)]
)
def test_memory_is_limited_by_the_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, gib: int
) -> None:
    """And by the memory of the machine."""
    pages = {"SC_PHYS_PAGES": 4 << 20, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    limit = tmp_path / "memory.max"
    if text is not None:
        limit.write_text(text)
    assert workers.memory(limit) == gib * GIB
