"""Processes of a pipeline, and the resources that each uses."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bytewax.recovery import init_db_dir

from candlewax.simulator.exchanges.registry import PATHS
from tests.support.clickhouse_process import Serving
from tests.support.kafka.broker import Broker, fetch_jars
from tests.support.ports import free_port

ROOT: Final = Path(__file__).parents[2]

Result = dict[str, Any]

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_VOLUNTARY_SWITCHES: Final = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)
_PATIENCE_S: Final = 60.0
"""Seconds for a process to start or to end."""

COMMAND: Final = "import sys; from candlewax.cli.main import main; main(sys.argv[1:])"


class Running:
    """Running process, observed from outside."""

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.pid = pid

    def cpu(self) -> float:
        """Return the seconds of a core used so far by all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] == "Z":
            raise RuntimeError(f"{self.name} has ended")
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def rss_mb(self) -> int:
        """Return its resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) >> 10

    def wakeups(self) -> dict[int, int]:
        """Return how often each of its threads has waited so far, by thread id."""
        counts = {}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            # A thread may end meanwhile.
            with suppress(FileNotFoundError, ProcessLookupError):
                status = (task / "status").read_text()
                counts[int(task.name)] = int(_VOLUNTARY_SWITCHES.findall(status)[0])
        return counts


class Piece(Running):
    """Process started by the benchmark, with its output in a file."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, settings: Mapping[str, str]
    ) -> None:
        inherited = {k: text for k, text in os.environ.items() if not k.startswith("CANDLEWAX_")}
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env={**inherited, **settings}, stdout=out, stderr=out
            )
        super().__init__(name, self._process.pid)

    def output(self) -> str:
        """Return its output."""
        return self._log.read_text(errors="replace")

    def wait_for_output(self, text: str = "") -> None:
        """Wait until its output contains a text, or anything."""
        wait(lambda: text in (output := self.output()) and output != "", self.check)

    def wait_for_end(self) -> None:
        """Wait until it ends by itself. Raises RuntimeError if it fails."""
        if self._process.wait(600):
            raise RuntimeError(f"{self.name} failed: {self.output()}")

    def check(self) -> None:
        """Raise RuntimeError if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended: {self.output()}")

    def terminate(self) -> None:
        """Send SIGTERM, as an operator does."""
        if self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """Stop it, by SIGKILL if SIGTERM does not suffice."""
        self.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def wait(
    ready: Callable[[], bool],
    check: Callable[[], None] = lambda: None,
    pause_s: float = 0.05,
    timeout_s: float = _PATIENCE_S,
) -> None:
    """Wait until it is ready; `check` may raise meanwhile. Raises TimeoutError."""
    end = time.monotonic() + timeout_s
    while not ready():
        check()
        if time.monotonic() > end:
            raise TimeoutError(f"not ready after {timeout_s:.0f} seconds")
        time.sleep(pause_s)


class Stage:
    """Temporary folder with the processes that run in it; all end with it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._count = 0
        self.running: dict[str, Running] = {}
        self.settings: dict[str, str] = {"RUST_BACKTRACE": "0"}
        self.brokers = ""
        self.front_port = 0

    def __enter__(self) -> Self:
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._stack.close()

    def broker(self) -> None:
        """Start a broker."""
        fetch_jars()
        broker = Broker(self.folder / "kafka")
        self._stack.callback(broker.stop)
        broker.start()
        self.brokers = broker.servers
        self.settings["CANDLEWAX_BROKERS"] = broker.servers
        self.running["broker"] = Running("broker", broker.pid)

    def front(self) -> None:
        """Start an embedded engine behind HTTP."""
        front = Serving(self.folder / "clickhouse")
        self._stack.callback(front.end)
        self.front_port = front.port
        self.settings["CANDLEWAX_CLICKHOUSE"] = front.address
        self.running["front"] = Running("front", front.pid)

    def run(self, name: str, *command: str, **settings: str) -> Piece:
        """Start a process."""
        self._count += 1
        log = self.folder / f"{name}-{self._count}.log"
        piece = Piece(name, command, log, {**self.settings, **settings})
        self._stack.callback(piece.stop)
        self.running[name] = piece
        return piece

    def python(self, name: str, *arguments: str, **settings: str) -> Piece:
        """Start a process of this Python."""
        return self.run(name, sys.executable, *arguments, **settings)

    def flow(self, name: str, flow: str, *options: str, **settings: str) -> Piece:
        """Start a dataflow as an operator does."""
        arguments = ("-m", "bytewax.run", f"dataflows.{flow}", *options)
        return self.python(name, *arguments, **settings)

    def simulator(self, *options: str) -> tuple[Piece, dict[str, str]]:
        """Start the simulator; also return the settings with the addresses of all exchanges."""
        port = free_port()
        piece = self.python("simulator", "-c", COMMAND, "simulate", f"--port={port}", *options)
        piece.wait_for_output("open at")
        urls = {
            f"CANDLEWAX_{exchange.upper()}_URL": f"ws://127.0.0.1:{port}{path}"
            for exchange, path in PATHS.items()
        }
        return piece, {"CANDLEWAX_FEED": "live", **urls}

    def end(self, *pieces: Piece) -> None:
        """Stop processes, those of a cluster together."""
        for piece in pieces:
            piece.terminate()
        for piece in pieces:
            piece.stop()
            self.running.pop(piece.name, None)

    def recovery(self, name: str) -> tuple[str, ...]:
        """Return Bytewax's options as in compose, with a new recovery store."""
        folder = self.folder / f"recovery-{name}-{self._count}"
        folder.mkdir()
        init_db_dir(folder, 1)
        return "-r", str(folder), "-s", "10", "-b", "0"


class Meter:
    """Resources used by processes and by the machine since it was created."""

    def __init__(self, running: Mapping[str, Running]) -> None:
        self._running = dict(running)
        self._cpu_before = self._cpu()
        self._wakeups_before = self._wakeups()
        self._machine_before = _machine_cpu()
        self._began_at = time.monotonic()

    def _cpu(self) -> dict[str, float]:
        used = {name: running.cpu() for name, running in self._running.items()}
        return {**used, "bench": time.process_time()}

    def _wakeups(self) -> dict[str, dict[int, int]]:
        return {name: running.wakeups() for name, running in self._running.items()}

    def wakeups_per_second(self) -> dict[str, int]:
        """Return how often the threads of each process woke up; without threads that ended."""
        seconds = time.monotonic() - self._began_at
        return {
            name: round(
                sum(n - self._wakeups_before[name].get(t, 0) for t, n in now.items()) / seconds
            )
            for name, now in self._wakeups().items()
        }

    def read(self) -> Result:
        """Return seconds, seconds of a core by process, and the cores that all others kept busy."""
        seconds = time.monotonic() - self._began_at
        used = {name: cpu - self._cpu_before[name] for name, cpu in self._cpu().items()}
        others = _machine_cpu() - self._machine_before - sum(used.values())
        return {
            "seconds": round(seconds, 2),
            "cpu": {name: round(cpu, 2) for name, cpu in used.items()},
            "others_cores": round(max(0.0, others) / seconds, 2),
            "load": round(os.getloadavg()[0], 1),
        }


def _machine_cpu() -> float:
    """Return the seconds that all cores were busy since the machine started."""
    user, nice, system, _, _, irq, soft, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + soft + steal) / _TICKS
