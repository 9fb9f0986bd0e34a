"""Settings: environment variables, also read from `.env`.

Every wrong one is named, with what it got and what it takes, before anything
starts.
"""

import io
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
class Brokers:
    """Kafka or Redpanda: the bootstrap servers, and properties for librdkafka, which
    may hold passwords and are never printed.
    """

    servers: str
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    raw_partitions: int = 1
    normalized_partitions: int = 4
    schema_registry: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.servers


@dataclass(frozen=True)
class Settings:
    """What the environment asks for.

    `feed` is `sample`, `live`, or the paths of frame logs. `exchanges` is None for all
    that the instruments file lists. `urls` are the websocket addresses that are not
    the exchanges' own.
    """

    feed: str | tuple[Path, ...]
    clickhouse: Path | Server
    database: str
    exchanges: tuple[str, ...] | None
    instruments: Path
    brokers: Brokers | None = None
    metrics_port: int | None = None
    metrics_address: str = "127.0.0.1"
    urls: Mapping[str, str] = field(default_factory=dict)

    @property
    def live(self) -> bool:
        """Whether the exchanges' websockets are to be read."""
        return self.feed == "live"

    @property
    def logs(self) -> tuple[Path, ...]:
        """The frame logs to read."""
        if self.live:
            return ()
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
    if text in ("sample", "live"):
        return text
    items = _items(text)
    for item in items:
        if not _readable(Path(item)):
            raise ValueError(f"sample, live, or paths of readable files; {_shown(item)} is none")
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


def _brokers(text: str) -> str:
    for item in _items(text):
        host, _, port = item.rpartition(":")
        if not re.fullmatch(r"\[[0-9a-fA-F:]+\]|[\w.-]+", host) or not _is_port(port):
            raise ValueError("bootstrap servers: host:port, comma-separated")
    return text


def _is_port(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) < 65536


def _port(text: str) -> int:
    if not _is_port(text):
        raise ValueError("a port from 1 to 65535")
    return int(text)


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("an IP address to listen on, as 127.0.0.1 or 0.0.0.0") from None


def _partitions(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1024:
        raise ValueError("a number of partitions from 1 to 1024")
    return int(text)


def _url(text: str, schemes: tuple[str, ...], example: str) -> str:
    try:
        parts = urlsplit(text)
        sound = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ValueError(f"an address, as {example}")
    return text


def _registry(text: str) -> str:
    return _url(text, ("http", "https"), "http://127.0.0.1:18081")


def _websocket(text: str) -> str:
    return _url(text, ("ws", "wss"), "wss://host/path")


_READERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "FEED": ("sample", _feed),
    "BROKERS": ("", _brokers),
    "CLICKHOUSE": ("data/clickhouse", _clickhouse),
    "DATABASE": ("market", _database),
    "EXCHANGES": ("", _exchanges),
    "INSTRUMENTS": ("instruments.toml", _instruments),
    "SCHEMA_REGISTRY": ("", _registry),
    "METRICS_PORT": ("", _port),
    "METRICS_ADDRESS": ("127.0.0.1", _address),
    "RAW_PARTITIONS": ("1", _partitions),
    "NORMALIZED_PARTITIONS": ("4", _partitions),
    **{f"{exchange.upper()}_URL": ("", _websocket) for exchange in EXCHANGES},
}
"""For each setting its default and what reads its text. An empty text counts as
unset, an empty default gives None."""

KAFKA: Final = "KAFKA_"
"""Settings that begin so are librdkafka's: KAFKA_SASL_PASSWORD is `sasl.password`."""

_FILE: Final = "_FILE"
"""With this at its end such a setting names the file that holds the value."""

OWN_PROPERTIES: Final = frozenset(
    {
        "acks", "auto.offset.reset", "bootstrap.servers", "delivery.report.only.error",
        "enable.auto.commit", "enable.idempotence", "enable.partition.eof", "group.id",
        "message.timeout.ms", "metadata.broker.list", "request.required.acks",
        "transactional.id",
    }
)  # fmt: skip
"""Properties on which exactness depends; nobody else sets them."""

_TESTS: Final = "TEST_"
"""Settings that begin so are for the tests."""


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
    kafka = {name: text for name, text in texts.items() if name.startswith(KAFKA) and text}
    others = {name for name in texts if name.startswith((KAFKA, _TESTS))}
    unknown = texts.keys() - _READERS - others
    wrong += [f"{PREFIX}{name}: no such setting; there are {_names()}" for name in unknown]
    values: dict[str, Any] = {}
    for name, (default, reader) in _READERS.items():
        text = texts.get(name) or default
        try:
            values[name.lower()] = reader(text) if text else None
        except ValueError as error:
            wrong.append(f"{PREFIX}{name}: got {_shown(text)}, takes {error}")
    properties: dict[str, str] = {}
    for name, text in kafka.items():
        try:
            properties.update([_property(name, text)])
        except ValueError as error:
            wrong.append(f"{PREFIX}{name}: {error}")
    if wrong:
        raise SettingsError("\n".join(sorted(wrong)))
    return _settings(values, properties)


def _settings(values: dict[str, Any], properties: dict[str, str]) -> Settings:
    servers = values["brokers"]
    values["brokers"] = servers and Brokers(
        servers,
        properties,
        values["raw_partitions"],
        values["normalized_partitions"],
        values["schema_registry"],
    )
    urls = {exchange: values[f"{exchange}_url"] for exchange in EXCHANGES}
    values["urls"] = {exchange: url for exchange, url in urls.items() if url}
    names = Settings.__dataclass_fields__
    return Settings(**{name: value for name, value in values.items() if name in names})


def _property(name: str, text: str) -> tuple[str, str]:
    """The property of librdkafka that a setting means, and its value."""
    key = name.removeprefix(KAFKA)
    if key.endswith(_FILE):
        try:
            text = Path(text).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            raise ValueError("takes the path of a readable text file") from None
    key = key.removesuffix(_FILE).lower().replace("_", ".")
    if key in OWN_PROPERTIES:
        raise ValueError(f"{key} cannot be set: exactness depends on it")
    return key, text


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
    return ", ".join(PREFIX + name for name in (*_READERS, f"{KAFKA}*"))
