"""Settings: environment variables, also read from `.env`.

Every wrong one is named, with what it got and what it takes, before anything
starts.
"""

import io
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from dotenv.parser import parse_stream

from candlewax.data import SAMPLE
from candlewax.exchanges import EXCHANGES

PREFIX: Final = "CANDLEWAX_"

_ADDRESS: Final = re.compile(r"[^/.].*?(:/|:.*@|@.*:)")
"""What is meant as an address, also a mistyped one; never a path from `/` or `.`."""


class SettingsError(ValueError):
    """One or more settings are wrong; the text has a line for each."""


@dataclass(frozen=True)
class Server:
    """A ClickHouse server. Its DSN may hold a password and is never printed."""

    dsn: str

    def __str__(self) -> str:
        parts = urlsplit(self.dsn)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{host}{port}"

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


def _shown(text: str) -> str:
    """The text, unless it may hold a password."""
    return "an address" if re.search(":/|@", text) else repr(text)


def _readable(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except OSError:  # a name too long for any file
        return False


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
    items = _items(text)
    for item in items:
        if not _readable(Path(item)):
            raise ValueError(f"sample, or paths of readable files; {_shown(item)} is none")
    return tuple(Path(item) for item in items)


def _clickhouse(text: str) -> Path | Server:
    if not _ADDRESS.match(text):
        return Path(text)
    try:
        parts = urlsplit(text)
        sound = "://" in text and parts.scheme in {"http", "https"} and parts.port != 0
    except ValueError:  # the port is no number below 65536, or a bracket is open
        sound = False
    if not sound or not re.fullmatch(r"[^\s,]+", parts.hostname or ""):
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
    if not _readable(Path(text)):
        raise ValueError("the path of a readable file")
    return Path(text)


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


def load(environ: Mapping[str, str] | None = None, dotenv: Path = Path(".env")) -> Settings:
    """Read the settings; the environment goes before `.env`.

    Raises SettingsError with a line for each setting that is wrong or unknown.
    """
    written, wrong = _file(dotenv)
    given = {**written, **(os.environ if environ is None else environ)}
    texts = {
        name.removeprefix(PREFIX): text.strip()
        for name, text in given.items()
        if name.startswith(PREFIX)
    }
    wrong += [
        f"{PREFIX}{name}: no such setting; there are {_names()}" for name in texts.keys() - _READERS
    ]
    values: dict[str, Any] = {}
    for name, (default, reader) in _READERS.items():
        text = texts.get(name) or default
        try:
            values[name.lower()] = reader(text) if text else None
        except ValueError as error:
            wrong.append(f"{PREFIX}{name}: got {_shown(text)}, takes {error}")
    if wrong:
        raise SettingsError("\n".join(sorted(wrong)))
    names = Settings.__dataclass_fields__
    return Settings(**{name: value for name, value in values.items() if name in names})


def _file(dotenv: Path) -> tuple[dict[str, str], list[str]]:
    """What the file holds, and what is wrong with it.

    A line that cannot be read is wrong if it names one of our settings; other programs
    may write theirs as they like.
    """
    if not dotenv.is_file():
        return {}, []
    try:
        lines = list(parse_stream(io.StringIO(dotenv.read_text("utf-8"))))
    except (OSError, UnicodeDecodeError) as error:
        why = "not UTF-8 text" if isinstance(error, ValueError) else error.strerror
        return {}, [f"{dotenv}: cannot be read: {why}"]
    wrong = [
        f"{name.group()}: line {line.original.line} of {dotenv} cannot be read,"
        " takes NAME=value, quotes in pairs"
        for line in lines
        if line.error and (name := re.search(PREFIX + r"\w*", line.original.string))
    ]
    return {line.key: line.value or "" for line in lines if line.key and not line.error}, wrong


def _names() -> str:
    return ", ".join(PREFIX + name for name in _READERS)
