"""Where the page is served: the options for it, and the warning that belongs to them."""

import argparse
import sys
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp

from candlewax.web.server import Server
from candlewax.web.stream.subscribers import Subscribers

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Where:
    """Where to serve, and under which names besides its addresses."""

    host: str
    port: int
    names: tuple[str, ...]


def add(command: argparse.ArgumentParser) -> None:
    """Add what says where to listen."""
    command.add_argument("--port", type=_port, default=8000, help="0 for any free (%(default)s)")
    command.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    command.add_argument(
        "--name",
        action="append",
        default=[],
        help="a name under which browsers may come, besides localhost and addresses",
    )


def read(arguments: argparse.Namespace) -> Where:
    """What was said."""
    return Where(arguments.host, arguments.port, tuple(arguments.name))


def begin(app: ASGIApp, viewers: Subscribers, where: Where, what: str) -> Server:
    """Begin to serve, and say where. Raises ServerError."""
    server = Server(app, viewers, where.host, where.port)
    server.start()
    if where.host not in LOOPBACK:
        print(
            f"candlewax: warning: {where.host} can be reached from other machines; there is no "
            "password, and whoever reaches it reads all that is stored",
            file=sys.stderr,
        )
    host = f"[{where.host}]" if ":" in where.host else where.host
    print(f"Candlewax: {what}\n\n    http://{host}:{server.port}\n\nCtrl-C ends it.", flush=True)
    return server


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"takes a port from 0 to 65535, got {text!r}")
    return int(text)
