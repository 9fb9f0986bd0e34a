"""deploy/healthy.py against a real server."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.deploy.reading import ROOT

METRIC = "candlewax_last_commit_timestamp_seconds"


@contextmanager
def serving(metrics: str, status: int = 200) -> Iterator[int]:
    """A server of these metrics, and its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(metrics.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def check(port: int | str, *arguments: str, **more: str) -> tuple[int, str]:
    answer = subprocess.run(
        [sys.executable, ROOT / "deploy" / "healthy.py", *arguments],
        env={**os.environ, "CANDLEWAX_METRICS_PORT": str(port), **more},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert not answer.stderr
    return answer.returncode, answer.stdout.strip()


@pytest.mark.parametrize(
    "labels", ["", '{worker="0"}', '{address="a } b"}'], ids=["plain", "labels", "brace"]
)
def test_fresh(labels: str) -> None:
    """A dataflow that committed just now is well."""
    with serving(f"# TYPE {METRIC} gauge\n{METRIC}{labels} {time.time()}\nother 1\n") as port:
        assert check(port) == (0, "well")
        assert check("", f"http://127.0.0.1:{port}/metrics") == (0, "well")


def test_latest_counts() -> None:
    """Of several workers the latest commit counts."""
    now = time.time()
    lines = f'{METRIC}{{worker="0"}} {now}\n{METRIC}{{worker="1"}} {now - 900}\n'
    with serving(lines) as port:
        assert check(port)[0] == 0


def test_stale() -> None:
    """A dataflow that committed two minutes ago is not."""
    with serving(f"{METRIC} {time.time() - 120}\n") as port:
        code, said = check(port)
    assert code == 1
    assert said.startswith("last commit 12")


@pytest.mark.parametrize(
    "metrics", ["", f"{METRIC}_created 1e9\n", f"{METRIC} 0\n", f"{METRIC} NaN\n"]
)
def test_nothing_committed(metrics: str) -> None:
    """Nor is one that has committed nothing."""
    with serving(metrics) as port:
        assert check(port) == (1, "nothing committed yet")


def test_absent() -> None:
    """Nor one that does not answer, or answers with an error or without sense."""
    with serving("") as port:
        pass
    code, said = check(port)
    assert code == 1
    assert said.startswith("no metrics: ")
    with serving("", status=500) as port:
        assert check(port)[0] == 1
    with serving(f"{METRIC} soon\n") as port:
        assert check(port)[0] == 1
    assert check("") == (1, "CANDLEWAX_METRICS_PORT is not set")


def test_no_proxy() -> None:
    """A proxy that the environment names is not asked."""
    with serving(f"{METRIC} {time.time()}\n") as port:
        assert check(port, http_proxy="http://127.0.0.1:1", no_proxy="")[0] == 0
