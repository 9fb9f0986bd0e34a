"""deploy/healthy.py against a real server."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.deploy.reading import ROOT

READY = json.dumps({"ready": True, "checks": {"commits": "ok"}})


@contextmanager
def serving(text: str = READY, status: int = 200) -> Iterator[int]:
    """A server with this answer at /readyz; yields its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
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


def test_ready_process_is_healthy() -> None:
    """Its port comes from the setting or from an address."""
    with serving() as port:
        assert check(port) == (0, "ready")
        assert check("", f"http://127.0.0.1:{port}/readyz") == (0, "ready")


def test_process_that_is_not_ready_is_reported_with_its_failed_checks() -> None:
    """Without a failed check the text is general."""
    checks = {"commits": "the last commit was 75 s ago", "feed kraken": "ok", "broker": "away"}
    with serving(json.dumps({"ready": False, "checks": checks}), 503) as port:
        assert check(port) == (1, "commits: the last commit was 75 s ago\nbroker: away")
    with serving(json.dumps({"ready": False, "checks": {"commits": "ok"}}), 503) as port:
        assert check(port) == (1, "something has failed")


def test_process_without_a_valid_answer_is_unhealthy() -> None:
    """It does not answer, or with an error or other content."""
    with serving() as port:
        pass
    code, output = check(port)
    assert code == 1
    assert output.startswith("no answer: ")
    for text in ("", "[]", "{}", '{"checks": 1}'):
        with serving(text, status=500) as port:
            assert check(port)[0] == 1
            assert check(port)[1].startswith("no answer: HTTP Error 500")
    assert check("") == (1, "CANDLEWAX_METRICS_PORT is not set")


def test_proxy_of_the_environment_is_ignored() -> None:
    with serving() as port:
        assert check(port, http_proxy="http://127.0.0.1:1", no_proxy="")[0] == 0
