"""The HTTP server, in a thread of its own."""

import asyncio
import logging
import socket
import threading
import time
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp

from candlewax.web.connection_limits import Connections, bounded_protocol
from candlewax.web.stream.subscribers import Subscribers

_PATIENCE: Final = 10.0
"""Seconds for the server to begin, and for requests to be answered at the end."""


class ServerError(RuntimeError):
    """Nobody can listen there; the text says where and why."""


class Server:
    """Serves an application while other threads do their work."""

    def __init__(self, app: ASGIApp, viewers: Subscribers, host: str, port: int) -> None:
        """Raises ServerError."""
        self._viewers = viewers
        self._socket = listen(host, port)
        self.port = int(self._socket.getsockname()[1])
        self.connections = Connections()
        config = uvicorn.Config(
            app,
            # It is called as a class would be.
            http=cast(type[asyncio.Protocol], bounded_protocol(self.connections)),
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=2,
            backlog=128,
        )
        # What it tells of its start and end, the command says itself.
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Begin; returns when requests are answered."""
        self._thread.start()
        end = time.monotonic() + _PATIENCE
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise ServerError("the HTTP server did not begin; the log says why")
            time.sleep(0.005)

    def stop(self) -> None:
        """End; streams are closed, requests answered."""
        self._viewers.end()
        self._server.should_exit = True
        self._thread.join(_PATIENCE)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound there. Raises ServerError."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # asyncio turns Nagle's algorithm off only where the protocol is named: with it the
        # end of an answer, or of an event, waits up to 40 ms for the client's acknowledgement.
        opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
    except OSError as error:
        raise ServerError(
            f"nobody can listen on {host} port {port}: {error.strerror}; --port takes another"
        ) from error
    return opened
