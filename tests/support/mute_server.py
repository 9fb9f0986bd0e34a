"""What stands between a client and its server, and falls silent when it is told to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto


class Mode(Enum):
    """What becomes of what a client sends."""

    PASSED_ON = auto()
    SILENT = auto()
    """It is taken, and nobody answers."""
    HALF = auto()
    """It is taken, and half the head of an answer comes."""


class Mute:
    """Passes bytes on to a port, until it is to be silent: then it takes what comes, also new
    connections. `asked` is set when something was taken so.
    """

    def __init__(self, behind: int) -> None:
        self.mode = Mode.PASSED_ON
        self.asked = threading.Event()
        self._behind = behind
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._open: list[socket.socket] = [self._socket]

    def run(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server: socket.socket | None = None
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if self.mode is not Mode.PASSED_ON:
                    if self.mode is Mode.HALF:
                        client.sendall(b"HTTP/1.1 200 OK\r\nX-ClickHouse-Sum")
                    self.asked.set()
                    continue
                if server is None:
                    server = socket.create_connection(("127.0.0.1", self._behind))
                    self._open.append(server)
                    answers = (server, client)
                    threading.Thread(target=self._answer, args=answers, daemon=True).start()
                server.sendall(data)
        client.close()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if self.mode is Mode.PASSED_ON:
                    client.sendall(data)
            client.close()

    def speak(self) -> None:
        """Pass everything on again; what was taken meanwhile is lost, as its connections are."""
        self.mode = Mode.PASSED_ON
        self.asked.clear()
        for one in self._open[1:]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def mute(behind: int) -> Iterator[Mute]:
    """Such a thing, for as long as the block lasts."""
    between = Mute(behind)
    thread = threading.Thread(target=between.run, daemon=True)
    thread.start()
    try:
        yield between
    finally:
        between.close()
        thread.join()
