"""What a process says of itself over HTTP."""

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
    """Status and text of an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Served:
    """A process's server, with checks to be set."""

    def __init__(self) -> None:
        self.health = Health()
        self.port = free_port()
        self.counted = MetricsCollector(Counters())
        metrics.mark_committed()
        self.status = StatusServer(self.counted, self.health, "127.0.0.1", self.port)

    def json(self, path: str) -> tuple[int, Any]:
        """Status and content of an answer."""
        code, text = ask(self.port, path)
        return code, json.loads(text)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server of a process without checks, in which nothing has failed."""
    monkeypatch.setattr(errors, "_failures", [])
    made = Served()
    yield made
    made.status.close()


def test_metrics_are_served(served: Served) -> None:
    """With the time of the last commit, and without when a series was first seen."""
    status, text = ask(served.port, "/metrics")
    assert status == 200
    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith("candlewax_last_commit_timestamp_seconds ")
    ]
    assert abs(time.time() - float(line.split()[1])) < 60
    assert "_created" not in text


def test_a_process_is_ready_when_every_check_is_well(served: Served) -> None:
    """And tells of each that is not what is wrong."""
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


def test_who_answers_is_alive(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ready or not, unless something has failed for good."""
    served.health.add("ill", lambda: "it coughs")
    assert served.json("/healthz") == (200, {"alive": True})
    monkeypatch.setattr(errors, "_failures", [RuntimeError()])
    assert served.json("/healthz") == (503, {"alive": False})
    served.health.add("ill", lambda: None)
    assert served.json("/readyz") == (503, {"ready": False, "checks": {"ill": "ok"}})


def test_a_commit_is_fresh_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a process that commits nothing is not ready."""
    monkeypatch.setattr(metrics, "_committed_monotonic", time.monotonic() - 75)
    said = metrics.commit_problem(60)
    assert said == "the last commit was 75 s ago, the limit is 60 s"
    assert metrics.commit_problem(90) is None
    metrics.mark_committed()
    assert metrics.commit_problem(60) is None


def test_elsewhere_is_nothing(served: Served) -> None:
    """Who mistypes a path is told of those there are."""
    assert served.json("/ready") == (404, {"there are": ["/metrics", "/healthz", "/readyz"]})


def test_a_port_in_use_is_an_error() -> None:
    """Nobody should believe that metrics are served."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            StatusServer(MetricsCollector(Counters()), Health(), "127.0.0.1", port)


def test_an_address_of_the_sixth_version() -> None:
    """It may be listened on too."""
    try:
        status = StatusServer(MetricsCollector(Counters()), Health(), "::1", free_port())
    except OSError as error:
        pytest.skip(f"this machine has no such address: {error}")
    status.close()
