"""A running pipeline that a real Prometheus reads: processes on this machine, for tests.

In all of it a minute is a second: rules and windows are shortened by that, and Prometheus
reads twice a second.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bytewax.recovery import init_db_dir

from candlewax.kafka.arrivals import DeliveryLatency
from candlewax.runtime import metrics
from candlewax.runtime.counters import Counters
from candlewax.runtime.health import Health
from candlewax.runtime.http_status import StatusServer
from candlewax.runtime.metrics import MetricsCollector
from candlewax.simulator.exchanges.registry import PATHS
from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.deploy.reading import ROOT
from tests.support.clickhouse_process import Serving
from tests.support.exchange_server import running
from tests.support.ports import free_port
from tests.support.processes import FLOW, environment

EXCHANGES: Final = ("kraken", "coinbase")
PATIENCE_S: Final = 60
"""Seconds after which waiting fails."""

WATCH: Final = (sys.executable, "-c", "from candlewax.cli.main import main; main(['watch'])")


def shortened(rules: str) -> str:
    """Return rules in which each minute is a second."""
    return re.sub(r"\b(\d+)m\b", r"\1s", rules).replace("* 60", "* 1")


class Exchanges:
    """The simulator, on the same port after each start."""

    def __init__(self) -> None:
        self.port = free_port()
        self._running = ExitStack()

    def start(self, garbage: float = 0) -> None:
        """Start, with a share of unreadable frames."""
        # After a restart no id may occur twice.
        ids_from = int(time.time() * 1000)
        plan = Plan(rate=40, ids_from=ids_from, keep=1000, fault_rates=FaultRates(garbage=garbage))
        self._running.enter_context(running(Simulator(plan, port=self.port)))

    def stop(self) -> None:
        """Stop; exchanges are away until the next start."""
        self._running.close()

    @property
    def settings(self) -> dict[str, str]:
        """Settings of a live feed from the simulator."""
        urls = {
            f"CANDLEWAX_{name.upper()}_URL": f"ws://127.0.0.1:{self.port}{PATHS[name]}"
            for name in EXCHANGES
        }
        return {"CANDLEWAX_FEED": "live", "CANDLEWAX_EXCHANGES": ",".join(EXCHANGES), **urls}


class Stack:
    """Exchanges, a database server, the pipeline in one process, the watch in another, and
    Prometheus with the rules of deploy/prometheus.
    """

    def __init__(self, folder: Path, prometheus: str) -> None:
        self._folder = folder
        self._all = ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in ("ohlcv", "watch", "ingest", "prometheus")}
        self.lag_messages = 7
        """Unread messages of the process that only serves metrics."""
        self.counters = Counters()
        """Counters of the process that only serves metrics."""
        self.fired: set[str] = set()
        """Alerts that were waited for and fired."""
        self.cleared: set[str] = set()
        """Alerts that were waited for and cleared."""
        self.exchanges = Exchanges()
        self._all.callback(self.exchanges.stop)
        self.database = Serving(folder / "clickhouse")
        self._all.callback(self.database.end)
        self._all.callback(self._end)
        self._serve_rare_metrics()
        self._prometheus(prometheus)

    def close(self) -> None:
        """End all processes."""
        self._all.close()

    def start(self, name: str) -> None:
        """Start one of our processes, on the same port after a restart."""
        settings = {
            **self.exchanges.settings,
            "CANDLEWAX_CLICKHOUSE": self.database.dsn,
            "CANDLEWAX_METRICS_PORT": str(self.ports[name]),
            "CANDLEWAX_WATCH_SECONDS": "1",
        }
        command: tuple[str, ...] = WATCH
        if name == "ohlcv":
            store = self._folder / "recovery"
            if not store.exists():
                store.mkdir()
                init_db_dir(store, 1)
            command = (*FLOW, "-r", str(store), "-s", "1", "-b", "0")
        self._run(name, command, environment(self._folder, **settings))

    def _run(self, name: str, command: tuple[str, ...], environ: Mapping[str, str]) -> None:
        with (self._folder / f"{name}.log").open("ab") as out:
            self._processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=environ, stdout=out, stderr=out
            )

    def kill(self, name: str) -> None:
        """Kill a process."""
        self._processes[name].kill()
        self._processes[name].wait()

    def freeze(self, number: signal.Signals) -> None:
        """Send SIGSTOP or SIGCONT to the database."""
        os.kill(self.database.pid, number)

    def _end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _serve_rare_metrics(self) -> None:
        """Serve the metrics that need a broker or rare events."""
        for name in (
            ("recomputed", "kraken"),
            ("revisions", "kraken", "2"),
            ("rest", "kraken", "answered"),
        ):
            self.counters.increment(1, *name)
        DeliveryLatency(lambda: 0).record_sent("kraken", 1, time.time())

        def waiting() -> int:
            # Each scrape counts as a commit.
            metrics.mark_committed()
            return 3

        def read_lag() -> dict[tuple[str, int], int]:
            return {("trades", 0): self.lag_messages}

        counted = MetricsCollector(self.counters, lags=[read_lag], undelivered=[waiting])
        status = StatusServer(counted, Health(), "127.0.0.1", self.ports["ingest"])
        self._all.callback(status.close)

    def _prometheus(self, program: str) -> None:
        folder = self._folder / "prometheus"
        folder.mkdir()
        rules = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8")
        (folder / "alerts.yml").write_text(shortened(rules), "utf-8")
        targets = [
            {"targets": [f"127.0.0.1:{self.ports[name]}"], "labels": {"process": name}}
            for name in ("ohlcv", "watch", "ingest")
        ]
        config = {
            "global": {
                "scrape_interval": "500ms",
                "scrape_timeout": "500ms",
                "evaluation_interval": "500ms",
            },
            "rule_files": ["alerts.yml"],
            "scrape_configs": [{"job_name": "candlewax", "static_configs": targets}],
        }
        # JSON is YAML.
        (folder / "prometheus.yml").write_text(json.dumps(config), "utf-8")
        options = (
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}",
            "--log.level=warn",
        )
        self._run("prometheus", (program, *options), environment(self._folder))

    def _ask(self, endpoint: str, **parameters: object) -> Any:
        """Return the data of Prometheus's answer, or None while it does not answer."""
        query = urllib.parse.urlencode(parameters)
        address = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{endpoint}?{query}"
        for name, process in self._processes.items():
            log = self._folder / f"{name}.log"
            assert process.poll() in {None, -signal.SIGKILL}, log.read_text("utf-8")[-2000:]
        try:
            with urllib.request.urlopen(address) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def query(self, expression: str) -> list[float]:
        """Return the current values of an expression; its rate interval is five seconds."""
        answer = self._ask("query", query=expression.replace("$__rate_interval", "5s"))
        return [float(series["value"][1]) for series in answer["result"]] if answer else []

    def alerts(self) -> set[str]:
        """Return the alerts that are firing."""
        answer = self._ask("alerts") or {"alerts": []}
        return {
            alert["labels"]["alertname"] for alert in answer["alerts"] if alert["state"] == "firing"
        }

    def wait_for(self, *names: str) -> None:
        """Return when all these alerts are firing."""
        self._until(lambda: set(names) - self.alerts(), "firing")
        self.fired.update(names)

    def wait_without(self, *names: str) -> None:
        """Return when none of these alerts is firing."""
        self._until(lambda: set(names) & self.alerts(), "cleared")
        self.cleared.update(names)

    def _until(self, unmet: Callable[[], set[str]], state: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while names := unmet():
            assert time.monotonic() < end, f"not {state}: {names}"
            time.sleep(0.1)

    def sql(self, text: str, **parameters: str) -> list[list[Any]]:
        """Return the rows of a query, sent as a user who can only read."""
        query = urllib.parse.urlencode(
            {"query": f"{text} FORMAT JSONCompact", "database": "market", **parameters}
        )
        try:
            with urllib.request.urlopen(f"{self.database.address}/?{query}") as answer:  # noqa: S310 - ours
                rows: list[list[Any]] = json.load(answer)["data"]
                return rows
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{text}: {error.read().decode()}") from None

    def change(self, text: str) -> None:
        """Change the tables without the pipeline."""
        address = f"{self.database.address}/?database=market"
        with urllib.request.urlopen(address, data=text.encode()) as answer:  # noqa: S310
            answer.read()
