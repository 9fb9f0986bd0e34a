"""Settings: environment variables, also read from `.env`.

Every wrong one is named, with what it got and what it takes, before anything
starts.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from dotenv import dotenv_values

from candlewax.data import SAMPLE
from candlewax.exchanges import EXCHANGES

PREFIX: Final = "CANDLEWAX_"


class SettingsError(ValueError):
    """One or more settings are wrong; the text has a line for each."""


@dataclass(frozen=True)
class Server:
    """A ClickHouse server. Its DSN may hold a password and is never printed."""

    dsn: str

    def __str__(self) -> str:
        parts = urlsplit(self.dsn)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}"

    __repr__ = __str__


@dataclass(frozen=True)
class Settings:
    """What the environment asks for.

    `feed` is `sample`, or the paths of frame logs. `exchanges` is None for all that
    the instruments file lists.
    """

    feed: str | tuple[Path, ...]
    clickhouse: Path | Server
    database: str
    exchanges: tuple[str, ...] | None
    instruments: Path

    @property
    def logs(self) -> tuple[Path, ...]:
        """The frame logs to read."""
        return (SAMPLE,) if isinstance(self.feed, str) else self.feed


def _items(text: str) -> list[str]:
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise ValueError("a list without empty items")
    return items


def _feed(text: str) -> str | tuple[Path, ...]:
    if text == "sample":
        return text
    if text == "live":
        raise ValueError("sample, or paths of frame logs: this version reads recordings only")
    paths = tuple(Path(item) for item in _items(text))
    for path in paths:
        if not path.is_file() or not os.access(path, os.R_OK):
            raise ValueError(f"sample, or paths of readable files; {path} is none")
    return paths


def _clickhouse(text: str) -> Path | Server:
    if "://" not in text:
        return Path(text)
    try:
        parts = urlsplit(text)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        sound = None
    if not sound:
        raise ValueError("a directory, or http://user:password@host:8123")
    return Server(text)


def _database(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", text):
        raise ValueError("a name of letters, digits and underscores")
    return text


def _exchanges(text: str) -> tuple[str, ...]:
    items = _items(text)
    if not set(items) <= set(EXCHANGES) or len(set(items)) < len(items):
        raise ValueError(f"some of {', '.join(EXCHANGES)}, each once")
    return tuple(items)


def _instruments(text: str) -> Path:
    path = Path(text)
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError("the path of a readable file")
    return path


def _live_only(_: str) -> None:
    raise ValueError("nothing yet: this version neither listens on a network nor uses a broker")


_READERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "FEED": ("sample", _feed),
    "CLICKHOUSE": ("data/clickhouse", _clickhouse),
    "DATABASE": ("market", _database),
    "EXCHANGES": ("", _exchanges),
    "INSTRUMENTS": ("instruments.toml", _instruments),
    **dict.fromkeys(("BROKERS", "SCHEMA_REGISTRY", "METRICS_PORT"), ("", _live_only)),
    **{f"{exchange.upper()}_URL": ("", _live_only) for exchange in EXCHANGES},
}
"""For each setting its default and what reads its text. An empty text counts as
unset, an empty default gives None."""

_SECRET: Final = frozenset({"CLICKHOUSE", "SCHEMA_REGISTRY"})
"""Addresses that may hold a password."""


def load(environ: Mapping[str, str] | None = None, dotenv: Path = Path(".env")) -> Settings:
    """Read the settings; the environment goes before `.env`.

    Raises SettingsError with a line for each setting that is wrong or unknown.
    """
    written = dotenv_values(dotenv, interpolate=False, encoding="utf-8") if dotenv.is_file() else {}
    given = {**written, **(os.environ if environ is None else environ)}
    texts = {
        name.removeprefix(PREFIX): (text or "").strip()
        for name, text in given.items()
        if name.startswith(PREFIX)
    }
    wrong = [
        f"{PREFIX}{name}: no such setting; there are {_names()}" for name in texts.keys() - _READERS
    ]
    values: dict[str, Any] = {}
    for name, (default, reader) in _READERS.items():
        text = texts.get(name) or default
        try:
            values[name.lower()] = reader(text) if text else None
        except ValueError as error:
            got = "an address" if name in _SECRET and "://" in text else repr(text)
            wrong.append(f"{PREFIX}{name}: got {got}, takes {error}")
    if wrong:
        raise SettingsError("\n".join(sorted(wrong)))
    names = Settings.__dataclass_fields__
    return Settings(**{name: value for name, value in values.items() if name in names})


def _names() -> str:
    return ", ".join(PREFIX + name for name in _READERS)
