"""Kinds of data: sample, simulated or real. A database holds one kind only."""

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
    KIND_TEXTS,
    OTHER_DATABASE_HINT,
    REAL,
    SAMPLE_KIND,
    SIMULATED,
    SIMULATOR_HEADER,
)
from candlewax.data import SAMPLE
from candlewax.feeds.replay.recorded_kind import kinds_of
from candlewax.pipeline.stored_kind import infer_kind
from candlewax.runtime.last_filled import UNFILLED, remember_database
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import Settings, SettingsError

_REQUEST_TIMEOUT_S: Final = 2.0

# Before the first claim was made atomic, two processes could leave a row each.
_STORED: Final = "SELECT argMin(kind, (since, kind)) AS kind FROM database_kind"

_log: Final = logging.getLogger(__name__)


def claim(database: Database, place: Path | Server, name: str, kind: str) -> None:
    """Claim a database for data of a kind.

    Raises DatabaseError if it holds another kind; the text names both, and how to choose another
    database.
    """
    if kind not in KIND_TEXTS:
        known_kinds = ", ".join(KIND_TEXTS)
        raise DatabaseError(
            f"{place}, database {name}: got data of kind {kind!r}, takes {known_kinds}"
        )
    stored = stored_kind(database) or _decide(database, place, name, kind)
    if stored != kind:
        raise DatabaseError(
            f"{place}, database {name} holds {KIND_TEXTS.get(stored, stored)}; {KIND_TEXTS[kind]} "
            f"would be stored beside it. {OTHER_DATABASE_HINT}"
        )
    remember_database(place, name)


def open_claimed(settings: Settings, kind: str) -> Database:
    """Open the configured tables and claim them for data of a kind. Raises DatabaseError."""
    database = open_tables(settings.clickhouse, settings.database, settings.retention)
    try:
        claim(database, settings.clickhouse, settings.database, kind)
    except DatabaseError:
        database.close()
        raise
    return database


def stored_kind(database: Database) -> str:
    """Return the kind of data of a database, "" if none has claimed it yet."""
    return str(database.query(_STORED).item())


def _decide(database: Database, place: Path | Server, name: str, kind: str) -> str:
    """Claim an unclaimed database. Return the kind of the first claim.

    The claim is a view: of several processes that create it at once, one succeeds.
    """
    if inferred := infer_kind(database):
        kind = inferred.kind
        _log.warning(
            "%s, database %s was filled before databases told their kind; it is taken for %s: %s",
            place,
            name,
            KIND_TEXTS[kind],
            inferred.reason,
        )
    create = f"CREATE VIEW IF NOT EXISTS database_claim AS SELECT '{kind}' AS kind"
    database.with_retries(lambda: database.command(create))
    first = str(database.query("SELECT kind FROM database_claim").item())
    row = pl.DataFrame({"kind": [first]}).to_arrow()
    database.with_retries(lambda: database.insert("database_kind", row, first))
    return first


class Guard:
    """Check that data from topics is of the kind of the database.

    The first data decides the kind of a new database.
    """

    def __init__(self, database: Database, place: Path | Server, name: str) -> None:
        self._database = database
        self._place = place
        self._name = name
        self.kind = stored_kind(database)
        """Kind of data of the database, "" until the first claim."""
        if self.kind:
            remember_database(place, name)

    def __call__(self, kind: str, where: str) -> None:
        """Admit data of a kind from a place. Raises DatabaseError if the database holds another."""
        if kind == self.kind:
            return
        try:
            claim(self._database, self._place, self._name, kind)
        except DatabaseError as error:
            raise DatabaseError(f"{where}: {error}, or CANDLEWAX_BROKERS to others") from None
        self.kind = kind


def kind_of(settings: Settings) -> str:
    """Return the kind of data of the configured feed. Raises SettingsError."""
    if settings.is_live:
        return live_kind(settings.urls)
    kinds: dict[str, Path] = {}
    for path in settings.frame_logs:
        for kind in {SAMPLE_KIND} if path.resolve() == SAMPLE.resolve() else kinds_of(path):
            kinds.setdefault(kind, path)
    if len(kinds) > 1:
        kinds_by_path = ", ".join(
            f"{path} holds {KIND_TEXTS[kind]}" for kind, path in kinds.items()
        )
        raise SettingsError(f"CANDLEWAX_FEED: {kinds_by_path}; takes logs of one kind")
    return next(iter(kinds), REAL)


def live_kind(urls: Mapping[str, str]) -> str:
    """Return the kind of data of the exchanges at these addresses, by exchange.

    `urls` holds only addresses that are not the exchanges' own; each is requested. Returns "" if
    none answers. Raises SettingsError if simulators and others are mixed.
    """
    if not urls:
        return REAL
    simulated = {exchange: is_simulator(url) for exchange, url in urls.items()}
    real = [exchange for exchange, is_simulated in simulated.items() if is_simulated is False]
    if any(simulated.values()) and real:
        raise SettingsError(
            f"CANDLEWAX_{real[0].upper()}_URL: no simulator, as others are; takes addresses of one"
        )
    return SIMULATED if any(simulated.values()) else REAL if real else ""


def is_simulator(url: str) -> bool | None:
    """Return True if the simulator answers at an address; None if nothing answers."""
    parts = urlsplit(url)
    secure = parts.scheme in {"wss", "https"}
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_REQUEST_TIMEOUT_S)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().getheader(SIMULATOR_HEADER) is not None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def settings_for_kind(settings: Settings, kind: str) -> Settings:
    """Return the settings for data of a kind, with its directory if no database is configured.

    If the kind is unknown, only real data is accepted.
    """
    settings = replace(settings, is_simulated=kind == SIMULATED)
    if settings.is_placed:
        return settings
    return replace(settings, clickhouse=UNFILLED.parent / (kind or REAL))


def open_for_kind(settings: Settings, kind: str) -> tuple[Settings, Database]:
    """Open the tables and claim them for data of a kind. Return them with the settings for it.

    If the kind is unknown because no exchange answers, it is that of the tables. Raises
    DatabaseError.
    """
    settings = settings_for_kind(settings, kind)
    if kind:
        return settings, open_claimed(settings, kind)
    database = open_tables(settings.clickhouse, settings.database, settings.retention)
    kind = stored_kind(database)
    if kind == SAMPLE_KIND:
        claim(database, settings.clickhouse, settings.database, REAL)
    return replace(settings, is_simulated=kind == SIMULATED), database
