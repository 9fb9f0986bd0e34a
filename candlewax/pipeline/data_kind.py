"""Kinds of data: made by the sample or the simulator, or of real markets. They never meet in one
database.
"""

import http.client
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import polars as pl

from candlewax.clickhouse.client import Database, DatabaseError, open_tables
from candlewax.core.kind_marks import (
    DESCRIBED,
    ELSEWHERE,
    REAL,
    SAMPLE_KIND,
    SIMULATED,
    SIMULATOR_HEADER,
)
from candlewax.data import SAMPLE
from candlewax.feeds.replay.recorded_kind import kinds_of
from candlewax.pipeline.stored_kind import examine
from candlewax.runtime.last_filled import UNFILLED, remember
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import Settings, SettingsError

_ASK_S: Final = 2.0

# Before the first claim was made atomic, two processes could leave a row each.
_STORED: Final = "SELECT argMin(kind, (since, kind)) AS kind FROM database_kind"

_log: Final = logging.getLogger(__name__)


def claim(database: Database, place: Path | Server, name: str, kind: str) -> None:
    """Let data of a kind into a database, if none of another kind is there.

    Raises DatabaseError that names both kinds and how to choose another database.
    """
    if kind not in DESCRIBED:
        known = ", ".join(DESCRIBED)
        raise DatabaseError(f"{place}, database {name}: got data of kind {kind!r}, takes {known}")
    stored = stored_kind(database) or _decide(database, place, name, kind)
    if stored != kind:
        raise DatabaseError(
            f"{place}, database {name} holds {DESCRIBED.get(stored, stored)}; {DESCRIBED[kind]} "
            f"would be stored beside it. {ELSEWHERE}"
        )
    remember(place, name)


def claimed(chosen: Settings, kind: str) -> Database:
    """Open the tables that the settings name, for data of a kind. Raises DatabaseError."""
    database = open_tables(chosen.clickhouse, chosen.database)
    try:
        claim(database, chosen.clickhouse, chosen.database, kind)
    except DatabaseError:
        database.close()
        raise
    return database


def stored_kind(database: Database) -> str:
    """Return the kind of what a database holds; empty if none has claimed it yet."""
    return str(database.query(_STORED).item())


def _decide(database: Database, place: Path | Server, name: str, kind: str) -> str:
    """Return the kind of a database from now on: the one that was the first to claim it.

    The claim is a view: of several processes that create it at the same moment one succeeds.
    """
    if examined := examine(database):
        kind = examined.kind
        _log.warning(
            "%s, database %s was filled before databases told their kind; it is taken for %s: %s",
            place,
            name,
            DESCRIBED[kind],
            examined.why,
        )
    create = f"CREATE VIEW IF NOT EXISTS database_claim AS SELECT '{kind}' AS kind"
    database.patiently(lambda: database.command(create))
    first = str(database.query("SELECT kind FROM database_claim").item())
    row = pl.DataFrame({"kind": [first]}).to_arrow()
    database.patiently(lambda: database.insert("database_kind", row, first))
    return first


class Guard:
    """Lets in what topics bring if it is of the kind of a database; what comes first decides
    that of a new one.
    """

    def __init__(self, database: Database, place: Path | Server, name: str) -> None:
        self._database = database
        self._place = place
        self._name = name
        self.kind = stored_kind(database)
        """The kind of what the database holds; empty as long as that is open."""
        if self.kind:
            remember(place, name)

    def __call__(self, kind: str, where: str) -> None:
        """Let in data of a kind that comes from somewhere.

        Raises DatabaseError if the database holds another one.
        """
        if kind == self.kind:
            return
        try:
            claim(self._database, self._place, self._name, kind)
        except DatabaseError as error:
            raise DatabaseError(f"{where}: {error}, or CANDLEWAX_BROKERS to others") from None
        self.kind = kind


def kind_of(chosen: Settings) -> str:
    """Return the kind of what the feed of a process brings. Raises SettingsError."""
    if chosen.live:
        return live_kind(chosen.urls)
    kinds: dict[str, Path] = {}
    for path in chosen.logs:
        for kind in {SAMPLE_KIND} if path.resolve() == SAMPLE.resolve() else kinds_of(path):
            kinds.setdefault(kind, path)
    if len(kinds) > 1:
        there = ", ".join(f"{path} holds {DESCRIBED[kind]}" for kind, path in kinds.items())
        raise SettingsError(f"CANDLEWAX_FEED: {there}; takes logs of one kind")
    return next(iter(kinds), REAL)


def live_kind(urls: Mapping[str, str]) -> str:
    """Return the kind of what exchanges at these addresses, by exchange, bring: those that are not
    the exchanges' own are asked. Empty if none of them answers. Raises SettingsError.
    """
    if not urls:
        return REAL
    simulated = {exchange: is_simulator(url) for exchange, url in urls.items()}
    real = [exchange for exchange, made in simulated.items() if made is False]
    if any(simulated.values()) and real:
        raise SettingsError(
            f"CANDLEWAX_{real[0].upper()}_URL: no simulator, as others are; takes addresses of one"
        )
    return SIMULATED if any(simulated.values()) else REAL if real else ""


def is_simulator(url: str) -> bool | None:
    """Return whether the simulator answers at an address; None if nothing does."""
    parts = urlsplit(url)
    secure = parts.scheme in {"wss", "https"}
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_ASK_S)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().getheader(SIMULATOR_HEADER) is not None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def placed(chosen: Settings, kind: str) -> Settings:
    """Return the settings for data of a kind, with its directory if no database was chosen. Where
    the kind is not known only data of real markets is let in.
    """
    chosen = replace(chosen, is_simulated=kind == SIMULATED)
    if chosen.is_placed:
        return chosen
    return replace(chosen, clickhouse=UNFILLED.parent / (kind or REAL))


def settled(chosen: Settings, kind: str) -> tuple[Settings, Database]:
    """Return the settings for data of a kind, and the tables opened, which are of that kind from
    now on. Where the kind is not known it is that of the tables: an exchange that is away does not
    decide what they are. Raises DatabaseError.
    """
    chosen = placed(chosen, kind)
    if kind:
        return chosen, claimed(chosen, kind)
    database = open_tables(chosen.clickhouse, chosen.database)
    kind = stored_kind(database)
    if kind == SAMPLE_KIND:
        claim(database, chosen.clickhouse, chosen.database, REAL)
    return replace(chosen, is_simulated=kind == SIMULATED), database
