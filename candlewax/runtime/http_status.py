"""HTTP server for the metrics and the health of a process."""

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


class StatusServer:
    """Server of `/metrics`, `/healthz` and `/readyz` in a thread of its own."""

    def __init__(
        self, collector: Collector | None, health: Health, address: str, port: int
    ) -> None:
        """Start the server. Raises OSError if it cannot listen on the address and port."""
        self._collector = collector
        self._health = health
        self._metrics = make_wsgi_app(REGISTRY)
        kind = _Server6 if ipaddress.ip_address(address).version == 6 else _Server
        self._server = make_server(address, port, self._respond, kind, _Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="status", daemon=True
        )
        if collector:
            REGISTRY.register(collector)
        self._thread.start()

    def close(self) -> None:
        """Stop the server."""
        if self._collector:
            REGISTRY.unregister(self._collector)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _respond(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path in {"/", "/metrics"}:
            lines: Iterable[bytes] = self._metrics(environ, start)
            return lines
        routes = {"/healthz": self._check_alive, "/readyz": self._check_ready}
        status, content = routes.get(path, _respond_not_found)()
        start(f"{status.value} {status.phrase}", [("Content-Type", "application/json")])
        return [json.dumps(content).encode() + b"\n"]

    def _check_alive(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """Return alive unless a failure is ending the process."""
        if has_failed():
            return HTTPStatus.SERVICE_UNAVAILABLE, {"alive": False}
        return HTTPStatus.OK, {"alive": True}

    def _check_ready(self) -> tuple[HTTPStatus, dict[str, Any]]:
        problems = self._health.problems()
        is_ready = not has_failed() and not any(problems.values())
        status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        checks = {name: problem or "ok" for name, problem in problems.items()}
        return status, {"ready": is_ready, "checks": checks}


def _respond_not_found() -> tuple[HTTPStatus, dict[str, Any]]:
    return HTTPStatus.NOT_FOUND, {"there are": ["/metrics", "/healthz", "/readyz"]}


def serve_status(settings: Settings, collector: Collector | None, health: Health) -> None:
    """Serve metrics and health over HTTP if the settings name a port. Raises SettingsError.

    The registered metrics are served, and those of `collector`.
    """
    if settings.metrics_port is None:
        return
    try:
        StatusServer(collector, health, settings.metrics_address, settings.metrics_port)
    except OSError as error:
        raise SettingsError(
            f"CANDLEWAX_METRICS_PORT: cannot listen on {settings.metrics_address} port "
            f"{settings.metrics_port}: {error.strerror}"
        ) from error
