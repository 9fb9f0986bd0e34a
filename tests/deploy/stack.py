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
"""After so many seconds what is waited for will not come."""

WATCH: Final = (sys.executable, "-c", "from candlewax.cli.main import main; main(['watch'])")


def shortened(rules: str) -> str:
    """Rules in which each minute is a second."""
    return re.sub(r"\b(\d+)m\b", r"\1s", rules).replace("* 60", "* 1")


class Exchanges:
    """The simulator; each time on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._running = ExitStack()

    def start(self, garbage: float = 0) -> None:
        """Play, and now and then something that cannot be read."""
        # Who starts again must not give out an id twice.
        ids_from = int(time.time() * 1000)
        plan = Plan(rate=40, ids_from=ids_from, keep=1000, fault_rates=FaultRates(garbage=garbage))
        self._running.enter_context(running(Simulator(plan, port=self.port)))

    def stop(self) -> None:
        """Be gone."""
        self._running.close()

    @property
    def settings(self) -> dict[str, str]:
        """A live feed of these."""
        urls = {
            f"CANDLEWAX_{name.upper()}_URL": f"ws://127.0.0.1:{self.port}{PATHS[name]}"
            for name in EXCHANGES
        }
        return {"CANDLEWAX_FEED": "live", "CANDLEWAX_EXCHANGES": ",".join(EXCHANGES), **urls}


class Stack:
    """Exchanges, the database behind HTTP, the whole pipeline in one process, the watch in
    another, and Prometheus with the rules of deploy/prometheus.
    """

    def __init__(self, folder: Path, prometheus: str) -> None:
        self._folder = folder
        self._all = ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in ("ohlcv", "watch", "ingest", "prometheus")}
        self.behind = 7
        """Messages that have not been read yet, of what only tells."""
        self.told = Counters()
        """What it has counted."""
        self.fired: set[str] = set()
        """Alerts that were waited for, and came."""
        self.over: set[str] = set()
        """Alerts that were waited for, and went."""
        self.exchanges = Exchanges()
        self._all.callback(self.exchanges.stop)
        self.database = Serving(folder / "clickhouse")
        self._all.callback(self.database.end)
        self._all.callback(self._end)
        self._others()
        self._prometheus(prometheus)

    def close(self) -> None:
        """End all of it."""
        self._all.close()

    def start(self, name: str) -> None:
        """Start a process of ours, again on the same port."""
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
        """End a process at once."""
        self._processes[name].kill()
        self._processes[name].wait()

    def freeze(self, number: signal.Signals) -> None:
        """Stop the database where it stands, or let it go on."""
        os.kill(self.database.pid, number)

    def _end(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _others(self) -> None:
        """What only a pipeline behind a broker tells, and what seldom happens."""
        for name in (
            ("recomputed", "kraken"),
            ("revisions", "kraken", "2"),
            ("rest", "kraken", "answered"),
        ):
            self.told.increment(1, *name)
        DeliveryLatency(lambda: 0).record_sent("kraken", 1, time.time())

        def waiting() -> int:
            # All is stored whenever somebody asks.
            metrics.mark_committed()
            return 3

        def behind() -> dict[tuple[str, int], int]:
            return {("trades", 0): self.behind}

        counted = MetricsCollector(self.told, lags=[behind], undelivered=[waiting])
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

    def _ask(self, what: str, **parameters: object) -> Any:
        """What Prometheus answers; nothing while it does not."""
        query = urllib.parse.urlencode(parameters)
        address = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{what}?{query}"
        for name, process in self._processes.items():
            log = self._folder / f"{name}.log"
            assert process.poll() in {None, -signal.SIGKILL}, log.read_text("utf-8")[-2000:]
        try:
            with urllib.request.urlopen(address) as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def query(self, expression: str) -> list[float]:
        """The values that an expression has now, in which a range is five seconds."""
        found = self._ask("query", query=expression.replace("$__rate_interval", "5s"))
        return [float(one["value"][1]) for one in found["result"]] if found else []

    def alerts(self) -> set[str]:
        """The alerts that are firing."""
        found = self._ask("alerts") or {"alerts": []}
        return {one["labels"]["alertname"] for one in found["alerts"] if one["state"] == "firing"}

    def wait_for(self, *names: str) -> None:
        """Return when all these alerts are firing."""
        self._until(lambda: set(names) - self.alerts(), "firing")
        self.fired.update(names)

    def wait_without(self, *names: str) -> None:
        """Return when none of these alerts is."""
        self._until(lambda: set(names) & self.alerts(), "over")
        self.over.update(names)

    def _until(self, left: Callable[[], set[str]], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while names := left():
            assert time.monotonic() < end, f"not {what}: {names}"
            time.sleep(0.1)

    def sql(self, text: str, **parameters: str) -> list[list[Any]]:
        """The rows of a query, as one sends it who may only read."""
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
        """Change the tables, past the pipeline."""
        address = f"{self.database.address}/?database=market"
        with urllib.request.urlopen(address, data=text.encode()) as answer:  # noqa: S310
            answer.read()
