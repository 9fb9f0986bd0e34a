"""Alertmanager with the configuration in deploy/: alerts reach a chat."""

import json
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.reading import ROOT
from tests.deploy.test_alerts import need
from tests.support.kafka.reading import until
from tests.support.ports import free_port

FILE = ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
PACKAGE = "prometheus-alertmanager"


def amtool(*arguments: str) -> str:
    answer = subprocess.run(
        [need("amtool", PACKAGE), *arguments], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def test_alertmanager_accepts_its_configuration() -> None:
    assert "2 receivers" in amtool("check-config", str(FILE))


@pytest.mark.parametrize(("severity", "receiver"), [("page", "chat-now"), ("warn", "chat")])
def test_severity_decides_how_soon_an_alert_is_sent(severity: str, receiver: str) -> None:
    """There are no other severities in the rules."""
    route = amtool("config", "routes", "test", f"--config.file={FILE}", f"severity={severity}")
    assert route.strip() == receiver


class Chat:
    """A chat that takes messages as Slack's webhooks do."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        messages = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Keep the message."""
                length = int(self.headers["Content-Length"])
                messages.append(json.loads(self.rfile.read(length))["attachments"][0])
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def alertmanager(folder: Path, chat: Chat) -> Iterator[str]:
    """Run it with its configuration, in which it waits for no other alert; yield its address."""
    (folder / "chat-url").write_text(f"{chat.address}\n", "utf-8")
    text = FILE.read_text("utf-8").replace("/etc/alertmanager/", f"{folder}/")
    text = re.sub(r"group_(wait|interval): \w+", r"group_\1: 1s", text)
    (folder / "alertmanager.yml").write_text(text, "utf-8")
    port = free_port()
    process = subprocess.Popen(
        [
            need("prometheus-alertmanager", PACKAGE),
            f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--log.level=error",
        ]
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until(lambda: is_ready(address))
        yield address
    finally:
        process.terminate()
        process.wait()


def is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/-/ready"):  # noqa: S310 - ours
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def raise_alert(address: str, severity: str, **labels: str) -> None:
    """Send an alert as Prometheus does."""
    alert = {
        "labels": {"severity": severity, **labels},
        "annotations": {"summary": f"All of {labels}", "runbook": "docs/runbooks/X.md"},
    }
    request = urllib.request.Request(  # noqa: S310 - ours
        f"{address}/api/v2/alerts",
        json.dumps([alert]).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request):  # noqa: S310 - ours
        pass


def test_alerts_of_each_severity_reach_the_chat(tmp_path: Path) -> None:
    """With summary and runbook; those of a process that is down are held back."""
    chat = Chat()
    try:
        with alertmanager(tmp_path, chat) as address:
            raise_alert(address, "page", alertname="CandlewaxProcessDown", process="silver")
            until(lambda: len(chat.messages) == 1)
            raise_alert(address, "warn", alertname="CandlewaxLag", process="silver")
            raise_alert(address, "warn", alertname="CandlewaxLag", process="ohlcv")
            until(lambda: len(chat.messages) == 2)
    finally:
        chat.close()
    first, second = chat.messages
    assert first["title"] == "firing, act now: CandlewaxProcessDown"
    assert "docs/runbooks/X.md" in first["text"]
    assert second["title"] == "firing: CandlewaxLag"
    assert "ohlcv" in second["text"]
    assert "silver" not in second["text"]
