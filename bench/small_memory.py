"""Run `candlewax up` in a control group with little memory, and send queries that need more.

python -m bench.small_memory [--mebibytes M] [--rounds N] [--here]

The queries need unlimited memory. They are sent over HTTP, two at a time, while the sample plays.
Each must end with an error of ClickHouse, and the process must go on storing. It needs root, as it
creates a control group within the one of this process. With `--here` it uses the group of this
process, as in `systemd-run --scope -p MemoryMax=512M …` or `docker run -m 512m`.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

QUERIES: Final = (
    "SELECT length(groupArray(number)) FROM numbers(1000000000)",
    "SELECT length(groupArray(toString(number))) FROM numbers(1000000000)",
    "SELECT uniqExact(number) FROM numbers(1000000000)",
    "SELECT number AS n, count() FROM numbers(1000000000) GROUP BY n ORDER BY n LIMIT 1",
    "SELECT number FROM numbers(1000000000) ORDER BY cityHash64(number) LIMIT 100000000, 1",
    "SELECT count() FROM numbers(100000000) AS a JOIN numbers(100000000) AS b USING (number)",
    "SELECT repeat('x', 1000000) FROM numbers(100000)",
)

AT_ONCE: Final = 2

_UP: Final = "from candlewax.cli.main import main; main(['up', '--port=0'])"

_PATIENCE_S: Final = 180.0


@dataclass(frozen=True)
class Group:
    """Control group and the names of its files, which differ between the two versions."""

    folder: Path
    limit: str
    used: str
    peak: str
    events: str

    def read(self, name: str) -> int:
        """Return the number in a file; for the events, the count of kills."""
        text = (self.folder / name).read_text("ascii")
        match = re.search(r"oom_kill (\d+)" if name == self.events else r"^(\d+)", text)
        return int(match[1]) if match else 0


def own_group() -> Group:
    """Return the group of this process. Raises SystemExit if there is none."""
    top = Path("/sys/fs/cgroup")
    for line in Path("/proc/self/cgroup").read_text("ascii").splitlines():
        _, kinds, path = line.split(":", 2)
        if "memory" in kinds.split(","):
            return _version_1(top / "memory", path)
        if not kinds and (top / "cgroup.controllers").exists():
            return _version_2(top / path.lstrip("/"))
    raise SystemExit("no control group of this process limits memory")


def _version_1(top: Path, path: str) -> Group:
    folder = top / path.lstrip("/")
    names = ("limit_in_bytes", "usage_in_bytes", "max_usage_in_bytes", "oom_control")
    # In a container the path may be one of the host.
    return Group(folder if folder.is_dir() else top, *(f"memory.{name}" for name in names))


def _version_2(folder: Path) -> Group:
    return Group(folder, "memory.max", "memory.current", "memory.peak", "memory.events")


@contextmanager
def new_group(size: int) -> Iterator[Group]:
    """Create a group with a memory limit in bytes for the length of the block."""
    own = own_group()
    is_version_2 = own.limit == "memory.max"
    # In version 2 a group that holds processes cannot have limited groups below it.
    within = own.folder.parent if is_version_2 else own.folder
    group = Group(within / f"candlewax-{os.getpid()}", own.limit, own.used, own.peak, own.events)
    try:
        group.folder.mkdir()
        (group.folder / group.limit).write_text(str(size), "ascii")
    except OSError as error:
        with contextlib.suppress(OSError):
            group.folder.rmdir()
        raise SystemExit(
            f"{group.folder}: cannot create the group: {error.strerror}; see --here"
        ) from None
    try:
        yield group
    finally:
        group.folder.rmdir()


@contextmanager
def run_up(group: Group | None, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run `candlewax up` on the sample in a group; yield the process and its port."""
    enter = f"echo $$ > {group.folder}/cgroup.procs && " if group else ""
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'{enter}exec "$@"', "sh", sys.executable, "-c", _UP],
        env={**os.environ, "CANDLEWAX_FEED": "sample", "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stdout or ():
            if match := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                yield process, int(match[1])
                return
        raise SystemExit(f"up ended at its start, with status {process.wait()}")
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)


def request(port: int, path: str) -> tuple[int, dict[str, str], bytes]:
    """Send one request; status 0 is a connection error."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    except OSError as error:
        return 0, {}, str(error).encode()
    finally:
        connection.close()


def stored_trades(port: int) -> int:
    """Return how many trades are stored, as the process reports it."""
    status, _, body = request(port, "/api/v1/health")
    health: dict[str, Any] = json.loads(body) if status == 200 else {}
    return int(health.get("trades", -1))


def wait_for_trades(process: "subprocess.Popen[str]", port: int, before: int) -> int:
    """Wait until more trades are stored, the process ends or time is up; return how many are
    stored.
    """
    end = time.monotonic() + _PATIENCE_S
    while (
        (after := stored_trades(port)) <= before
        and process.poll() is None
        and time.monotonic() < end
    ):
        time.sleep(0.5)
    return after


def send_queries(port: int, rounds: int) -> Iterator[tuple[str, str, float]]:
    """Send the queries; yield each with its answer and the seconds it took."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for query in QUERIES * rounds:
            begin = time.monotonic()
            path = f"/?query={quote(query)}"
            for status, headers, body in pool.map(
                lambda path: request(port, path), [path] * AT_ONCE
            ):
                code = headers.get("x-clickhouse-exception-code", "")
                text = f"error {code}" if code else repr(body[:40].decode("latin-1").strip())
                yield query, f"{status} {text}", time.monotonic() - begin


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; return 1 if the process ended, was killed, or stopped storing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mebibytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--here", action="store_true", help="use the group of this process")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        size = options.mebibytes << 20
        group = own_group() if options.here else stack.enter_context(new_group(size))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        process, port = stack.enter_context(run_up(None if options.here else group, folder))
        wait_for_trades(process, port, 0)
        used = group.read(group.used) >> 20
        print(f"{group.read(group.limit) >> 20} MiB, of which {used} are used", flush=True)
        answered = 0
        for query, answer, seconds in send_queries(port, options.rounds):
            used = group.read(group.used) >> 20
            print(f"{seconds:5.1f} s  {used:4} MiB  {answer:<16} {query[:70]}", flush=True)
            answered += answer.startswith("200 ")
        before = stored_trades(port)
        after = wait_for_trades(process, port, before)
        kills = group.read(group.events)
        print(f"peak {group.read(group.peak) >> 20} MiB, {kills} killed, {answered} answered, "
              f"trades {before:,} and then {after:,}")  # fmt: skip
        survived = process.poll() is None and not kills and after > before >= 0
    print("up survived" if survived else "up did not survive")
    return 0 if survived else 1


if __name__ == "__main__":
    sys.exit(main())
