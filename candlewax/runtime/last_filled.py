"""The database that was filled last: commands that only read ask that one where none is set."""

import json
import logging
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from candlewax.runtime.setting_parsers import Server

FILE: Final = Path("data/last.json")
"""Tells which it was, without a password."""

UNFILLED: Final = FILE.parent / "sample"
"""The directory that is asked where none was filled yet."""

DATABASE: Final = "market"

_log: Final = logging.getLogger(__name__)


def remember(place: Path | Server, name: str) -> None:
    """Remember a database as the one that was filled last."""
    text = _without_password(place) if isinstance(place, Server) else str(place)
    try:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        fresh = FILE.with_name(f"{FILE.name}.{id(place)}")
        fresh.write_text(json.dumps({"clickhouse": text, "database": name}), "utf-8")
        fresh.replace(FILE)
    except OSError as error:
        # A process that stores elsewhere need have no place of its own.
        elsewhere = isinstance(place, Server) or place.is_absolute()
        level = logging.DEBUG if elsewhere else logging.WARNING
        _log.log(level, "%s cannot be written: %s", FILE, error.strerror)


def recall(database: str) -> tuple[Path | Server, str]:
    """Return the place and the database that were filled last, if a directory is still there and no
    other database was asked for.
    """
    try:
        told = json.loads(FILE.read_text("utf-8"))
        text, name = str(told["clickhouse"]), str(told["database"])
    except (OSError, ValueError, KeyError, TypeError):
        return UNFILLED, database
    place: Path | Server = Server(text) if "://" in text else Path(text)
    if isinstance(place, Path) and not place.is_dir():
        return UNFILLED, database
    return place, name if database == DATABASE else database


def lacks_password(place: Path | Server) -> bool:
    """Whether the password of a server that was filled last is not remembered."""
    if isinstance(place, Path):
        return False
    parts = urlsplit(place.dsn)
    return parts.username is not None and parts.password is None


def _without_password(server: Server) -> str:
    """The address of a server: with its user, and a colon behind it if it needs no password."""
    parts = urlsplit(server.dsn)
    scheme, _, there = str(server).partition("://")
    # What stands behind the address may hold a password as well.
    if parts.username is None and not parts.query:
        return str(server)
    colon = "" if parts.password or parts.query else ":"
    return f"{scheme}://{quote(parts.username or '', safe='%')}{colon}@{there}"
