"""What a process says of itself over HTTP: its metrics, and whether it is well."""

import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, make_wsgi_app
from prometheus_client.registry import Collector

from candlewax.runtime.errors import has_failed
from candlewax.runtime.health import Health
from candlewax.runtime.settings import Settings, SettingsError


class _Handler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class Status:
    """The server, and the thread it runs in."""

    def __init__(self, collector: Collector, health: Health, address: str, port: int) -> None:
        """Raises OSError if nobody can listen there."""
        self._collector = collector
        self._health = health
        self._metrics = make_wsgi_app(REGISTRY)
        kind = _Server6 if ipaddress.ip_address(address).version == 6 else _Server
        self._server = make_server(address, port, self._answer, kind, _Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="status", daemon=True
        )
        REGISTRY.register(collector)
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        REGISTRY.unregister(self._collector)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path in {"/", "/metrics"}:
            lines: Iterable[bytes] = self._metrics(environ, start)
            return lines
        answers = {"/healthz": self._alive, "/readyz": self._ready}
        status, content = answers.get(path, _nothing)()
        start(f"{status.value} {status.phrase}", [("Content-Type", "application/json")])
        return [json.dumps(content).encode() + b"\n"]

    def _alive(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """Whether it runs: who answers does, unless something has failed for good."""
        if has_failed():
            return HTTPStatus.SERVICE_UNAVAILABLE, {"alive": False}
        return HTTPStatus.OK, {"alive": True}

    def _ready(self) -> tuple[HTTPStatus, dict[str, Any]]:
        found = self._health.problems()
        ready = not has_failed() and not any(found.values())
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        checks = {name: wrong or "ok" for name, wrong in found.items()}
        return status, {"ready": ready, "checks": checks}


def _nothing() -> tuple[HTTPStatus, dict[str, Any]]:
    return HTTPStatus.NOT_FOUND, {"there are": ["/metrics", "/healthz", "/readyz"]}


def answer(chosen: Settings, collector: Collector, health: Health) -> None:
    """Say over HTTP how this process is doing, if that is wanted. Raises SettingsError."""
    if chosen.metrics_port is None:
        return
    try:
        Status(collector, health, chosen.metrics_address, chosen.metrics_port)
    except OSError as error:
        raise SettingsError(
            f"CANDLEWAX_METRICS_PORT: cannot listen on {chosen.metrics_address} port "
            f"{chosen.metrics_port}: {error.strerror}"
        ) from error
