"""StatusServer: metrics, health and readiness over HTTP."""

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from candlewax.runtime import errors, metrics
from candlewax.runtime.counters import Counters
from candlewax.runtime.health import Health
from candlewax.runtime.http_status import StatusServer
from candlewax.runtime.metrics import MetricsCollector
from tests.support.ports import free_port


def ask(port: int, path: str) -> tuple[int, str]:
    """Return status and text of an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Served:
    """The server of a process, with checks that the test sets."""

    def __init__(self) -> None:
        self.health = Health()
        self.port = free_port()
        self.collector = MetricsCollector(Counters())
        metrics.mark_committed()
        self.status = StatusServer(self.collector, self.health, "127.0.0.1", self.port)

    def json(self, path: str) -> tuple[int, Any]:
        """Return status and content of an answer."""
        code, text = ask(self.port, path)
        return code, json.loads(text)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """The server of a process without checks and failures."""
    monkeypatch.setattr(errors, "_failures", [])
    made = Served()
    yield made
    made.status.close()


def test_metrics_are_served(served: Served) -> None:
    """With the time of the last commit, and without times of creation."""
    status, text = ask(served.port, "/metrics")
    assert status == 200
    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith("candlewax_last_commit_timestamp_seconds ")
    ]
    assert abs(time.time() - float(line.split()[1])) < 60
    assert "_created" not in text


def test_process_is_ready_if_no_check_has_a_problem(served: Served) -> None:
    """The answer lists the problem of each check."""
    assert served.json("/readyz") == (200, {"ready": True, "checks": {}})
    served.health.add("commits", lambda: None)
    served.health.add("feed kraken", lambda: "kraken-0 has not been connected yet")
    assert served.json("/readyz") == (
        503,
        {
            "ready": False,
            "checks": {"commits": "ok", "feed kraken": "kraken-0 has not been connected yet"},
        },
    )
    served.health.add("feed kraken", lambda: None)
    assert served.json("/readyz")[0] == 200


def test_process_is_alive_unless_a_step_has_failed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is ready or not."""
    served.health.add("ill", lambda: "it coughs")
    assert served.json("/healthz") == (200, {"alive": True})
    monkeypatch.setattr(errors, "_failures", [RuntimeError()])
    assert served.json("/healthz") == (503, {"alive": False})
    served.health.add("ill", lambda: None)
    assert served.json("/readyz") == (503, {"ready": False, "checks": {"ill": "ok"}})


def test_process_without_a_recent_commit_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a limit since the last commit."""
    monkeypatch.setattr(metrics, "_committed_monotonic", time.monotonic() - 75)
    problem = metrics.commit_problem(60)
    assert problem == "the last commit was 75 s ago, the limit is 60 s"
    assert metrics.commit_problem(90) is None
    metrics.mark_committed()
    assert metrics.commit_problem(60) is None


def test_unknown_path_is_answered_with_the_known_ones(served: Served) -> None:
    """With a status of 404."""
    assert served.json("/ready") == (404, {"there are": ["/metrics", "/healthz", "/readyz"]})


def test_port_in_use_is_an_error() -> None:
    """Otherwise the metrics would be missing without notice."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            StatusServer(MetricsCollector(Counters()), Health(), "127.0.0.1", port)


def test_server_listens_on_an_ipv6_address() -> None:
    try:
        status = StatusServer(MetricsCollector(Counters()), Health(), "::1", free_port())
    except OSError as error:
        pytest.skip(f"this machine has no such address: {error}")
    status.close()
