"""Settings from environment variables and `.env`.

Before anything starts, an error names each wrong setting, its value and the values it takes.
"""

import io
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream

from candlewax.data import INSTRUMENTS, SAMPLE
from candlewax.exchanges import EXCHANGES
from candlewax.runtime.cold_settings import NAMES as COLD_NAMES
from candlewax.runtime.cold_settings import ColdSettings, read_cold_settings
from candlewax.runtime.keep_settings import KEEP_RULES, Retention, read_retention
from candlewax.runtime.last_filled import recall_database
from candlewax.runtime.log_settings import LogSettings
from candlewax.runtime.setting_names import PREFIX, describe_similar
from candlewax.runtime.setting_parsers import (
    FILE,
    KAFKA,
    KEYS,
    OWN_PROPERTIES,
    READERS,
    TESTS,
    Server,
    parse_key,
    quote_setting,
)


class SettingsError(ValueError):
    """One or more wrong settings; the message has a line for each."""


@dataclass(frozen=True)
class Brokers:
    """Brokers of Kafka or Redpanda: bootstrap servers, and properties for librdkafka.

    Properties may hold passwords and are never printed. `shards` is the number of shards of each
    exchange with more than one.
    """

    servers: str
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    raw_partitions: int = 1
    normalized_partitions: int = 4
    schema_registry: str | None = field(default=None, repr=False)
    shards: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.servers


@dataclass(frozen=True)
class Settings:
    """Settings of a process.

    `feed` is `sample`, `live`, or the paths of frame logs. `exchanges` is None for all exchanges of
    the instruments file. `urls`, `rest_urls` and `files_urls` replace the exchanges' own addresses
    of websockets, REST and daily files; `keys` are sent to an exchange by REST and never printed;
    all are by exchange.

    `fresh_seconds` is how long a process without a connection or a commit still counts as ready.
    `watch_seconds` is the time between two cross-checks, 0 for none beside a dataflow. `reconcile`:
    candles are compared with the exchange's own. `linger_seconds` is the time between two polls of
    a feed or a topic; None for the default of each. `fill` is the length of the span before the
    start whose trades are requested by REST. `is_placed` is false if `clickhouse` was not set and
    is the database filled last; a process that fills one takes the default of its kind of data.
    `is_simulated`: the exchanges must be the simulator's; None if both are accepted. `shards` is
    the number of shards of each exchange with more than one; `own_shards` the indexes of those that
    this process reads, of exchanges of which it reads some. `cold` is where the archive is, if any.
    `retention` says how long tables keep rows, `log` what is logged and how.
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
    reconcile: bool = True
    linger_seconds: timedelta | None = None
    fill: timedelta | None = None
    urls: Mapping[str, str] = field(default_factory=dict)
    rest_urls: Mapping[str, str] = field(default_factory=dict)
    files_urls: Mapping[str, str] = field(default_factory=dict)
    is_placed: bool = True
    is_simulated: bool | None = None
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    shards: Mapping[str, int] = field(default_factory=dict)
    own_shards: Mapping[str, frozenset[int]] = field(default_factory=dict)
    cold: ColdSettings | None = None
    retention: Retention = field(default_factory=Retention)
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def is_live(self) -> bool:
        """True if the feed is the exchanges' websockets."""
        return self.feed == "live"

    @property
    def frame_logs(self) -> tuple[Path, ...]:
        """Frame logs to read; none for a live feed."""
        if self.is_live:
            return ()
        return (SAMPLE,) if isinstance(self.feed, str) else self.feed


def load(environ: Mapping[str, str] | None = None, dotenv: Path = Path(".env")) -> Settings:
    """Read the settings; the environment overrides `.env`.

    Raises SettingsError with a line for each setting that is wrong or unknown.
    """
    file_values, errors = _read_dotenv(dotenv)
    variables = {**file_values, **(os.environ if environ is None else environ)}
    named = {name: text.strip() for name, text in variables.items() if name.startswith(PREFIX)}
    texts = {name.removeprefix(PREFIX): text for name, text in named.items()}
    kafka = {name: text for name, text in texts.items() if name.startswith(KAFKA) and text}
    secrets = {name: text for name, text in texts.items() if name.removesuffix(FILE) in KEYS}
    others = {name for name in texts if name.startswith((KAFKA, TESTS))} | secrets.keys()
    others |= COLD_NAMES | KEEP_RULES.keys()
    unknown = texts.keys() - READERS - others
    errors += [f"{PREFIX}{name}: no such setting; {describe_similar(name)}" for name in unknown]
    values: dict[str, Any] = {}
    for name, (default, parse) in READERS.items():
        text = texts.get(name) or default
        try:
            values[name.lower()] = parse(text) if text else None
        except ValueError as error:
            errors.append(f"{PREFIX}{name}: got {quote_setting(text)}, takes {error}")
    values["keys"] = _read_keys(secrets, errors)
    values["cold"] = read_cold_settings(texts, errors)
    values["retention"] = read_retention(texts, errors, is_cold=values["cold"] is not None)
    properties: dict[str, str] = {}
    for name, text in kafka.items():
        try:
            properties.update([_read_property(name, text)])
        except ValueError as error:
            errors.append(f"{PREFIX}{name}: {error}")
    errors += _check_shards(values)
    if values.get("fill"):
        errors += fill_problems(values.get("feed"), values.get("brokers"))
    if errors:
        raise SettingsError("\n".join(sorted(errors)))
    return _build_settings(values, properties)


def _check_shards(values: Mapping[str, Any]) -> list[str]:
    """Return the errors of settings that do not fit the numbers of shards."""
    counts: Mapping[str, int] = values.get("shards") or {}
    named: Mapping[str, frozenset[int]] = values.get("exchanges") or {}
    errors = [
        f"{PREFIX}EXCHANGES: got {exchange}/{index}, takes shards below {counts.get(exchange, 1)}, "
        f"the number in {PREFIX}SHARDS"
        for exchange, indexes in named.items()
        for index in sorted(indexes)
        if index >= counts.get(exchange, 1)
    ]
    partitions = values.get("normalized_partitions")
    most = max(counts.values(), default=1)
    if values.get("brokers") and partitions is not None and partitions < most:
        errors.append(
            f"{PREFIX}NORMALIZED_PARTITIONS: got {partitions}, takes at least {most}, the most "
            f"shards in {PREFIX}SHARDS"
        )
    return errors


def fill_problems(feed: object, brokers: object) -> list[str]:
    """Return why no span before the start can be filled, with such a feed and such brokers."""
    problems = []
    if feed != "live":
        problems.append(f"{PREFIX}FILL: takes {PREFIX}FEED=live; a recording is all there is of it")
    if brokers:
        problems.append(
            f"{PREFIX}FILL: takes no {PREFIX}BROKERS; behind a broker, candlewax backfill sends "
            "the trades of a span to the topics"
        )
    return problems


def _build_settings(values: dict[str, Any], properties: dict[str, str]) -> Settings:
    named: Mapping[str, frozenset[int]] = values["exchanges"] or {}
    values["exchanges"] = tuple(named) or None
    values["own_shards"] = {exchange: indexes for exchange, indexes in named.items() if indexes}
    values["shards"] = {
        exchange: count for exchange, count in (values["shards"] or {}).items() if count > 1
    }
    servers = values["brokers"]
    values["brokers"] = servers and Brokers(
        servers,
        properties,
        values["raw_partitions"],
        values["normalized_partitions"],
        values["schema_registry"],
        values["shards"],
    )
    for kind in ("url", "rest_url", "files_url"):
        urls = {exchange: values.get(f"{exchange}_{kind}") for exchange in EXCHANGES}
        values[f"{kind}s"] = {exchange: url for exchange, url in urls.items() if url}
    values["instruments"] = values["instruments"] or find_instruments()
    values["is_placed"] = values["clickhouse"] is not None
    if not values["is_placed"]:
        values["clickhouse"], values["database"] = recall_database(values["database"])
    if values["cold"]:
        _make_absolute(values)
    values["log"] = LogSettings(values["log_level"], values["log_format"])
    names = Settings.__dataclass_fields__
    return Settings(**{name: value for name, value in values.items() if name in names})


def find_instruments() -> Path:
    """Return the instruments file of the working directory; the bundled one if it has none."""
    own = Path(INSTRUMENTS.name)
    # Also a directory or a link to nothing: reading it gives an error instead of other markets.
    return own if os.path.lexists(own) else INSTRUMENTS


def _make_absolute(values: dict[str, Any]) -> None:
    """Make paths independent of the working directory, which reaching the archive may change."""
    for name, value in values.items():
        if isinstance(value, Path):
            values[name] = value.absolute()
    if isinstance(values["feed"], tuple):
        values["feed"] = tuple(path.absolute() for path in values["feed"])


def _read_property(name: str, text: str) -> tuple[str, str]:
    """Return the property of librdkafka that a setting names, and its value."""
    key = name.removeprefix(KAFKA)
    if key.endswith(FILE):
        text = _read_value_file(text)
    key = key.removesuffix(FILE).lower().replace("_", ".")
    if key in OWN_PROPERTIES:
        raise ValueError(f"{key} cannot be set: exactness depends on it")
    return key, text


def _read_keys(texts: Mapping[str, str], errors: list[str]) -> dict[str, str]:
    """Return the keys by exchange; add errors to the list, without the keys."""
    keys: dict[str, str] = {}
    for name, text in texts.items():
        if not text:
            continue
        exchange = name.removesuffix(FILE).removesuffix("_KEY").lower()
        try:
            if exchange in keys:
                raise ValueError(f"stands beside {PREFIX}{exchange.upper()}_KEY; one is enough")
            keys[exchange] = parse_key(_read_value_file(text) if name.endswith(FILE) else text)
        except ValueError as error:
            errors.append(f"{PREFIX}{name}: {error}")
    return keys


def _read_value_file(path: str) -> str:
    """Return the content of a file that holds the value of a setting. Raises ValueError."""
    try:
        return Path(path).read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError):
        raise ValueError("takes the path of a readable text file") from None


def _read_dotenv(dotenv: Path) -> tuple[dict[str, str], list[str]]:
    """Return the values in the file, and its errors.

    A line that cannot be read is an error only if it names one of our settings: the file may
    belong to other programs as well.
    """
    if not dotenv.is_file():
        return {}, []
    try:
        lines = list(parse_stream(io.StringIO(dotenv.read_text("utf-8-sig"))))
    except (OSError, UnicodeDecodeError) as error:
        reason = "not UTF-8 text" if isinstance(error, ValueError) else error.strerror
        return {}, [f"{dotenv}: cannot be read: {reason}"]
    errors = [
        f"{name.group()}: line {line.original.line} of {dotenv} cannot be read,"
        " takes NAME=value, quotes in pairs"
        for line in lines
        if line.error and (name := re.search(PREFIX + r"\w*", line.original.string))
    ]
    return {line.key: line.value or "" for line in lines if line.key and not line.error}, errors
