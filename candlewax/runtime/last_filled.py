"""Database that was filled last: the default of commands that only read."""

import json
import logging
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from candlewax.runtime.setting_parsers import Server

FILE: Final = Path("data/last.json")
"""File that names this database, without a password."""

UNFILLED: Final = FILE.parent / "sample"
"""Default directory while no database was filled yet."""

DATABASE: Final = "market"

_log: Final = logging.getLogger(__name__)


def remember_database(location: Path | Server, name: str) -> None:
    """Store the name of a database as the one that was filled last."""
    text = _without_password(location) if isinstance(location, Server) else str(location)
    try:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        temporary = FILE.with_name(f"{FILE.name}.{id(location)}")
        temporary.write_text(json.dumps({"clickhouse": text, "database": name}), "utf-8")
        temporary.replace(FILE)
    except OSError as error:
        # A process that stores elsewhere may have no writable working directory.
        is_elsewhere = isinstance(location, Server) or location.is_absolute()
        level = logging.DEBUG if is_elsewhere else logging.WARNING
        _log.log(level, "%s cannot be written: %s", FILE, error.strerror)


def recall_database(database: str) -> tuple[Path | Server, str]:
    """Return the server or directory that was filled last, and the database in it.

    If none was filled, or its directory is gone, return UNFILLED and `database`. A `database`
    other than the default replaces the stored name.
    """
    try:
        content = json.loads(FILE.read_text("utf-8"))
        text, name = str(content["clickhouse"]), str(content["database"])
    except (OSError, ValueError, KeyError, TypeError):
        return UNFILLED, database
    location: Path | Server = Server(text) if "://" in text else Path(text)
    if isinstance(location, Path) and not location.is_dir():
        return UNFILLED, database
    return location, name if database == DATABASE else database


def lacks_password(location: Path | Server) -> bool:
    """Return True if a server has a user whose password was not stored."""
    if isinstance(location, Path):
        return False
    parts = urlsplit(location.dsn)
    return parts.username is not None and parts.password is None


def _without_password(server: Server) -> str:
    """Return a server's address with its user, and a colon after it if it needs no password."""
    parts = urlsplit(server.dsn)
    scheme, _, host = str(server).partition("://")
    # Parameters of the address may hold a password as well.
    if parts.username is None and not parts.query:
        return str(server)
    colon = "" if parts.password or parts.query else ":"
    return f"{scheme}://{quote(parts.username or '', safe='%')}{colon}@{host}"
