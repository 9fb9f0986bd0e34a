"""Available memory, from files of the kernel that the test writes."""

from pathlib import Path

import pytest

from candlewax.clickhouse.engine import CACHE_BYTES, choose_options
from candlewax.clickhouse.memory_limit import UNLIMITED, measure_available, measure_long_term

MIB = 1 << 20
MACHINE = {"proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\nHugePages_Total: 0\n"}
V1 = "sys/fs/cgroup/memory"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def group(folder: str, limit: object, used: int, spare: int = 0, *, second: bool) -> dict[str, str]:
    """The files of a control group, in version 2 or 1."""
    if second:
        names = ("memory.max", "memory.current", "inactive_file")
    else:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    return {
        f"{folder}/{names[0]}": f"{limit}\n",
        f"{folder}/{names[1]}": f"{used}\n",
        f"{folder}/memory.stat": f"anon 1\n{names[2]} {spare}\nhierarchical_memory_limit 9\n",
    }


CASES: dict[str, tuple[dict[str, str], int]] = {
    "no group": ({}, 4096 * MIB),
    "version 2": (
        {"proc/self/cgroup": "0::/a\n"}
        | group("sys/fs/cgroup/a", 512 * MIB, 300 * MIB, 100 * MIB, second=True),
        312 * MIB,
    ),
    "version 2, a group above": (
        {"proc/self/cgroup": "0::/a/b/c\n"}
        | group("sys/fs/cgroup/a", 400 * MIB, 350 * MIB, second=True)
        | group("sys/fs/cgroup/a/b", "max", 320 * MIB, second=True)
        | group("sys/fs/cgroup/a/b/c", 512 * MIB, 300 * MIB, second=True),
        50 * MIB,
    ),
    "version 2, within a container": (
        {"proc/self/cgroup": "0::/\n"} | group("sys/fs/cgroup", 512 * MIB, 500 * MIB, second=True),
        12 * MIB,
    ),
    "version 1": (
        {"proc/self/cgroup": "9:name=systemd:/x\n4:cpu,memory:/a:b\n"}
        | group(f"{V1}/a:b", 512 * MIB, 300 * MIB, 10 * MIB, second=False),
        222 * MIB,
    ),
    "version 1, the path of the host": (
        {"proc/self/cgroup": "4:memory:/docker/0123\n0::/\n"}
        | group(V1, 256 * MIB, 100 * MIB, second=False),
        156 * MIB,
    ),
    "version 1, no limit": (
        {"proc/self/cgroup": "4:memory:/a\n"}
        | group(f"{V1}/a", 9223372036854771712, 300 * MIB, second=False),
        4096 * MIB,
    ),
    "version 1 beside version 2": (
        {"proc/self/cgroup": "4:memory:/a\n0::/a\n"}
        | group(f"{V1}/a", 512 * MIB, 500 * MIB, second=False)
        | group("sys/fs/cgroup/unified/a", 9 * MIB, 2 * MIB, second=True),
        7 * MIB,
    ),
    "more used than allowed": (
        {"proc/self/cgroup": "0::/a\n"}
        | group("sys/fs/cgroup/a", 512 * MIB, 600 * MIB, second=True),
        0,
    ),
    "files without values": (
        {"proc/self/cgroup": "what\n0::/../a\n", "sys/fs/cgroup/a/memory.max": "lots"},
        4096 * MIB,
    ),
}


@pytest.mark.parametrize(("files", "left"), CASES.values(), ids=CASES)
def test_available_memory_is_the_least_of_machine_and_groups(
    tmp_path: Path, files: dict[str, str], left: int
) -> None:
    assert measure_available(write(tmp_path, MACHINE | files)) == left


def test_memory_is_unlimited_without_the_files(tmp_path: Path) -> None:
    """As on other systems than Linux."""
    assert measure_available(tmp_path) == measure_long_term(tmp_path) == UNLIMITED


def test_limit_of_the_engine_follows_the_group_and_the_size_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not follow the current use by other processes."""
    root = write(tmp_path, MACHINE)
    assert measure_long_term(root) == 8192 * MIB
    write(root, CASES["version 2"][0])
    assert measure_long_term(root) == 312 * MIB
    monkeypatch.setattr(
        "candlewax.clickhouse.engine.measure_long_term", lambda: measure_long_term(root)
    )
    assert choose_options() == {"max_server_memory_usage": 234 * MIB, **CACHE_BYTES}
    assert sum(CACHE_BYTES.values()) < 512 * MIB
