"""Options for the address of the page, shared by `serve` and `up`."""

import argparse
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp

from candlewax.clickhouse.served_address import ServedAddress, announce_address
from candlewax.runtime.setting_parsers import Server as ClickHouse
from candlewax.web.server import Server, listen
from candlewax.web.stream.subscribers import Subscribers

_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens here
"""Hosts that stand for all addresses, with one of these."""

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class ListenAddress:
    """Address to listen on, further host names that requests may use, and the path before all
    addresses, empty for none.
    """

    host: str
    port: int
    names: tuple[str, ...]
    prefix: str = ""


def add(command: argparse.ArgumentParser) -> None:
    """Add the options of the address."""
    command.add_argument("--port", type=_port, default=8000, help="0 for any free (%(default)s)")
    command.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    command.add_argument(
        "--name",
        action="append",
        default=[],
        help="a name under which browsers may come, besides localhost and addresses",
    )
    command.add_argument(
        "--prefix",
        type=_prefix,
        default="",
        help="path before all addresses, as /candlewax, for a proxy that serves other things too",
    )


def read(arguments: argparse.Namespace) -> ListenAddress:
    """Return the address of the options."""
    return ListenAddress(arguments.host, arguments.port, tuple(arguments.name), arguments.prefix)


def require_free(address: ListenAddress) -> None:
    """Raise ServerError if the address cannot be listened on."""
    listen(address.host, address.port).close()


def begin(app: ASGIApp, subscribers: Subscribers, address: ListenAddress, title: str) -> Server:
    """Start the server and print its address. Raises ServerError."""
    server = Server(app, subscribers, address.host, address.port)
    server.start()
    if address.host not in LOOPBACK:
        print(
            f"candlewax: warning: {address.host} can be reached from other machines; there is no "
            "password, and all stored data can be read there",
            file=sys.stderr,
        )
    host = f"[{address.host}]" if ":" in address.host else address.host
    print(
        f"Candlewax: {title}\n\n    http://{host}:{server.port}{address.prefix}\n\nCtrl-C ends it.",
        flush=True,
    )
    return server


def announce(
    database: Path | ClickHouse, command: str, address: ListenAddress, port: int
) -> AbstractContextManager[None]:
    """Leave the address of this process in the directory of an embedded database, for commands."""
    if not isinstance(database, Path):
        return nullcontext()
    host = _ANY.get(address.host, address.host)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}{address.prefix}"
    return announce_address(database, ServedAddress(url, f"candlewax {command}"))


def _prefix(text: str) -> str:
    if text in {"", "/"}:
        return ""
    if not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,8}/?", text):
        raise argparse.ArgumentTypeError(f"takes a path, as /candlewax, got {text!r}")
    return text.rstrip("/")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"takes a port from 0 to 65535, got {text!r}")
    return int(text)
