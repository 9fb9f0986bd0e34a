"""Settings: environment variables, also read from `.env`.

Every wrong one is named, with what it got and what it takes, before anything
starts.
"""

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from dotenv.parser import parse_stream

from candlewax.data import SAMPLE
from candlewax.exchanges import EXCHANGES
from candlewax.runtime.last_filled import recall
from candlewax.runtime.setting_parsers import (
    FILE,
    KAFKA,
    KEYS,
    OWN_PROPERTIES,
    READERS,
    TESTS,
    Server,
    shown,
)
from candlewax.runtime.setting_parsers import key as readable_key

PREFIX: Final = "CANDLEWAX_"


class SettingsError(ValueError):
    """One or more settings are wrong; the text has a line for each."""


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
    the exchanges' own, `rest_urls` those of REST, `keys` are shown to an exchange by REST
    and never printed; all by exchange. `fresh_seconds` is for how long a process without a
    connection or a commit still counts as ready, `watch_seconds` is the time between two
    cross-checks, 0 for none beside a dataflow, `linger_seconds` that between two looks at what a
    feed or a topic has brought, where it is not what suits each best. `is_placed` tells whether
    `clickhouse` was set: if not, it is the place filled last, and what fills one takes that of
    its kind.
    `is_simulated` tells whether the exchanges must be the simulator's; None if that is open.
    """

    feed: str | tuple[Path, ...]
    clickhouse: Path | Server
    database: str
    exchanges: tuple[str, ...] | None
    instruments: Path
    brokers: Brokers | None = None
    metrics_port: int | None = None
    metrics_address: str = "127.0.0.1"
    fresh_seconds: float = 60
    watch_seconds: float = 60
    linger_seconds: timedelta | None = None
    urls: Mapping[str, str] = field(default_factory=dict)
    rest_urls: Mapping[str, str] = field(default_factory=dict)
    is_placed: bool = True
    is_simulated: bool | None = None
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)

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
    secret = {name: text for name, text in texts.items() if name.removesuffix(FILE) in KEYS}
    others = {name for name in texts if name.startswith((KAFKA, TESTS))} | secret.keys()
    unknown = texts.keys() - READERS - others
    wrong += [f"{PREFIX}{name}: no such setting; there are {_names()}" for name in unknown]
    values: dict[str, Any] = {}
    for name, (default, reader) in READERS.items():
        text = texts.get(name) or default
        try:
            values[name.lower()] = reader(text) if text else None
        except ValueError as error:
            wrong.append(f"{PREFIX}{name}: got {shown(text)}, takes {error}")
    values["keys"] = _keys(secret, wrong)
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
    for kind in ("url", "rest_url"):
        urls = {exchange: values[f"{exchange}_{kind}"] for exchange in EXCHANGES}
        values[f"{kind}s"] = {exchange: url for exchange, url in urls.items() if url}
    values["is_placed"] = values["clickhouse"] is not None
    if not values["is_placed"]:
        values["clickhouse"], values["database"] = recall(values["database"])
    names = Settings.__dataclass_fields__
    return Settings(**{name: value for name, value in values.items() if name in names})


def _property(name: str, text: str) -> tuple[str, str]:
    """The property of librdkafka that a setting means, and its value."""
    key = name.removeprefix(KAFKA)
    if key.endswith(FILE):
        text = _held(text)
    key = key.removesuffix(FILE).lower().replace("_", ".")
    if key in OWN_PROPERTIES:
        raise ValueError(f"{key} cannot be set: exactness depends on it")
    return key, text


def _keys(texts: Mapping[str, str], wrong: list[str]) -> dict[str, str]:
    """The keys by exchange; adds what is wrong, without the key."""
    keys: dict[str, str] = {}
    for name, text in texts.items():
        if not text:
            continue
        exchange = name.removesuffix(FILE).removesuffix("_KEY").lower()
        try:
            if exchange in keys:
                raise ValueError(f"stands beside {PREFIX}{exchange.upper()}_KEY; one is enough")
            keys[exchange] = readable_key(_held(text) if name.endswith(FILE) else text)
        except ValueError as error:
            wrong.append(f"{PREFIX}{name}: {error}")
    return keys


def _held(path: str) -> str:
    """What a file holds, for a setting."""
    try:
        return Path(path).read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError):
        raise ValueError("takes the path of a readable text file") from None


def _file(dotenv: Path) -> tuple[dict[str, str], list[str]]:
    """What the file holds, and what is wrong with it.

    A line that cannot be read is wrong if it names one of our settings; other programs
    may write theirs as they like.
    """
    if not dotenv.is_file():
        return {}, []
    try:
        lines = list(parse_stream(io.StringIO(dotenv.read_text("utf-8-sig"))))
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
    return ", ".join(PREFIX + name for name in (*READERS, *KEYS, f"{KAFKA}*"))
