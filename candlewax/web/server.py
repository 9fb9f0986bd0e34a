"""HTTP server in a thread of its own."""

import asyncio
import logging
import socket
import threading
import time
from errno import EACCES, EADDRINUSE
from typing import Final, cast

import uvicorn
from starlette.types import ASGIApp

from candlewax.web.connection_limits import Connections, bounded_protocol
from candlewax.web.stream.subscribers import Subscribers

_PATIENCE: Final = 10.0
"""Seconds for the server to start, and to answer open requests when it stops."""

MOST_MESSAGE_BYTES: Final = 1 << 10
"""Bytes of a message that a page sends by WebSocket; the page sends none."""


class ServerError(RuntimeError):
    """Failure to listen on an address or to start; the text says why."""


class Server:
    """HTTP server for an application, beside the other threads of the process."""

    def __init__(self, app: ASGIApp, subscribers: Subscribers, host: str, port: int) -> None:
        """Bind the port. Raises ServerError."""
        self._subscribers = subscribers
        self._socket = listen(host, port)
        self.port = int(self._socket.getsockname()[1])
        self.connections = Connections()
        config = uvicorn.Config(
            app,
            # uvicorn calls it like a class.
            http=cast(type[asyncio.Protocol], bounded_protocol(self.connections)),
            # Not whichever loop other packages happen to bring.
            loop="asyncio",
            ws="websockets-sansio",
            ws_max_size=MOST_MESSAGE_BYTES,
            # An event is some hundred bytes: to compress it costs more than it saves.
            ws_per_message_deflate=False,
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=2,
            backlog=128,
        )
        # The command itself prints start and end.
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Start the thread; return once requests are answered. Raises ServerError."""
        self._thread.start()
        end = time.monotonic() + _PATIENCE
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise ServerError("the HTTP server did not start; the log says why")
            time.sleep(0.005)

    def stop(self) -> None:
        """Close streams, answer open requests, and stop."""
        self._subscribers.end()
        self._server.should_exit = True
        self._thread.join(_PATIENCE)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address. Raises ServerError."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # asyncio turns Nagle's algorithm off only if the protocol is given. With Nagle, the end of
        # an answer or event waits up to 40 ms for the client's acknowledgement.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        option = "--port" if error.errno in (EADDRINUSE, EACCES) else "--host"
        raise ServerError(
            f"cannot listen on {host} port {port}: {error.strerror}; choose another with {option}"
        ) from error
    return bound
