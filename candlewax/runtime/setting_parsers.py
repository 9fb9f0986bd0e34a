"""Parsers of the texts of settings."""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from candlewax.exchanges import EXCHANGES
from candlewax.runtime.log_settings import parse_log_format, parse_log_level

_ADDRESS: Final = re.compile(r"[^/.].*?(:/|:.*@|@.*:)")
"""Text that is meant as an address, even if mistyped; never a path that begins with `/` or `.`."""


_HOST: Final = re.compile(r"[\w.-]+|[0-9a-f:.]*:[0-9a-f:.]*(%\w+)?")
"""Host name, or an address of IPv4 or IPv6."""


TLS: Final = frozenset({"ca_cert", "client_cert", "client_cert_key", "server_host_name", "verify"})
"""Parameters allowed in a server's DSN: files and names, none of them a secret."""

_SIGNS: Final = "signs such as / ? # @ : in a password are written %2F %3F %23 %40 %3A"


@dataclass(frozen=True)
class Server:
    """A ClickHouse server, or a page that answers queries, maybe below a path.

    Its DSN may hold a password and is never printed, nor is its path.
    """

    dsn: str

    @property
    def scheme(self) -> str:
        """Scheme of the DSN: `http` or `https`."""
        return urlsplit(self.dsn).scheme

    def __str__(self) -> str:
        parts = urlsplit(self.dsn)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{host}{port}"

    __repr__ = __str__


def quote_setting(text: str) -> str:
    """Return the text in quotes, or "an address" if it may hold a password."""
    return "an address" if re.search(":/|@", text) else repr(text)


def _is_readable(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except OSError:  # a name too long for any file
        return False


def _split_items(text: str) -> list[str]:
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise ValueError("a list without empty items")
    return items


def _parse_feed(text: str) -> str | tuple[Path, ...]:
    if text in ("sample", "live"):
        return text
    items = _split_items(text)
    for item in items:
        if not _is_readable(Path(item)):
            raise ValueError(
                f"sample, live, or paths of readable files; {quote_setting(item)} is none"
            )
    return tuple(Path(item) for item in items)


def _parse_clickhouse(text: str) -> Path | Server:
    if not _ADDRESS.match(text):
        return Path(text)
    try:
        parts = urlsplit(text)
        is_valid = "://" in text and parts.scheme in {"http", "https"} and parts.port != 0
        names = {name for name, _ in parse_qsl(parts.query, True, True)}
    except ValueError:  # a port that is no number below 65536, an open bracket, "?" without "="
        is_valid = False
    if not is_valid or not re.fullmatch(r"[^\s,]+", parts.hostname or ""):
        raise ValueError("a directory, or http://user:password@host:8123")
    if parts.path not in {"", "/"} or "#" in text:
        raise ValueError(
            f"an address that ends with the port: {_SIGNS}, and CANDLEWAX_DATABASE names the "
            "database"
        )
    if not names <= TLS:
        # The client would take other parameters for settings or credentials, and may log them.
        raise ValueError(
            f"no parameters behind ? but {', '.join(sorted(TLS))}: user and password stand before "
            f"the host, as http://user:password@host:8123, and {_SIGNS}"
        )
    return Server(text)


def _parse_database(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", text):
        raise ValueError("a name of letters, digits and underscores")
    return text


def _parse_exchanges(text: str) -> dict[str, frozenset[int]]:
    """Return the exchanges, each with the indexes of its named shards, none for all of them."""
    items = _split_items(text)
    found = [re.fullmatch(r"(\w+)(?:/(\d{1,3}))?", item) for item in items]
    pairs = [(match[1], match[2]) for match in found if match and match[1] in EXCHANGES]
    whole = {name for name, index in pairs if index is None}
    by_shard = {name for name, index in pairs if index is not None}
    if len(pairs) < len(items) or len(set(items)) < len(items) or whole & by_shard:
        raise ValueError(f"some of {', '.join(EXCHANGES)}, each once, or shards, as binance/0")
    names = dict.fromkeys(name for name, _ in pairs)
    return {
        name: frozenset(int(index) for other, index in pairs if other == name and index)
        for name in names
    }


def _parse_shards(text: str) -> dict[str, int]:
    items = [item.partition("=") for item in _split_items(text)]
    counts = {
        name: int(count)
        for name, _, count in items
        if name in EXCHANGES and re.fullmatch(r"\d{1,3}", count) and 0 < int(count) <= MAX_SHARDS
    }
    if len(counts) < len(items):
        raise ValueError(f"exchanges, each once, with 1 to {MAX_SHARDS} shards, as binance=4")
    return counts


def _parse_instruments(text: str) -> Path:
    # The file is read when it is needed: queries of a database do not need it.
    return Path(text)


def _parse_brokers(text: str) -> str:
    for item in _split_items(text):
        host, _, port = item.rpartition(":")
        if not re.fullmatch(r"\[[0-9a-fA-F:]+\]|[\w.-]+", host) or not _is_port(port):
            raise ValueError("bootstrap servers: host:port, comma-separated")
    return text


def _is_port(text: str) -> bool:
    return text.isdecimal() and 0 < int(text) < 65536


def _parse_port(text: str) -> int:
    if not _is_port(text):
        raise ValueError("a port from 1 to 65535")
    return int(text)


def _parse_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("an IP address to listen on, as 127.0.0.1 or 0.0.0.0") from None


def _parse_seconds(text: str, hint: str = "") -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,3})?", text) or not float(text):
        raise ValueError(f"a number of seconds above 0, as 60 or 2.5{hint}")
    return float(text)


def _parse_watch_interval(text: str) -> float:
    return 0.0 if text == "0" else _parse_seconds(text, ", or 0 for no cross-check in this process")


def _parse_switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError("on or off")
    return text == "on"


def _parse_max_wait(text: str) -> timedelta:
    if not re.fullmatch(r"\d{1,2}(\.\d{1,3})?", text) or not 0 < float(text) <= 10:
        raise ValueError("a number of seconds above 0, at most 10, as 0.2")
    return timedelta(seconds=float(text))


def parse_fill(text: str) -> timedelta:
    """Return the length of a span of whole hours or days. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,3})([hd])", text, re.ASCII)
    length = timedelta(hours=int(match[1]) * (24 if match[2] == "d" else 1)) if match else None
    if length is None or not timedelta(hours=1) <= length <= MAX_FILL:
        raise ValueError(f"whole hours or days from 1h to {MAX_FILL.days}d, as 24h or 2d")
    return length


def _parse_partition_count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1024:
        raise ValueError("a number of partitions from 1 to 1024")
    return int(text)


def _check_url(text: str, schemes: tuple[str, ...], example: str) -> str:
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in schemes and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or re.search(r"\s", text) or not _HOST.fullmatch(parts.hostname or ""):
        begins = " or ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(f"an address that begins with {begins} and names a host, as {example}")
    return text


def parse_registry_url(text: str) -> str:
    """Return an address of HTTP. Raises ValueError."""
    return _check_url(text, ("http", "https"), "http://127.0.0.1:18081")


def _parse_websocket_url(text: str) -> str:
    return _check_url(text, ("ws", "wss"), "wss://host/path")


def _parse_rest_url(text: str) -> str:
    if re.search(r"[?#@\s]", text):
        raise ValueError("an address without user, query or spaces, as https://host/path")
    return _check_url(text, ("http", "https"), "https://host/path")


def parse_key(text: str) -> str:
    """Return a key that fits into an HTTP header. Raises ValueError."""
    if not re.fullmatch(r"[!-~]{1,1000}", text):
        raise ValueError("takes a key of at most 1,000 letters, digits and signs, no spaces")
    return text


MAX_FILL: Final = timedelta(days=7)
"""Longest span that a start fills; `candlewax backfill` takes longer ones."""

MAX_SHARDS: Final = 64
"""Most shards of an exchange."""

_WITH_FILES: Final = tuple(name for name, rules in EXCHANGES.items() if rules.daily_files)

READERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "FEED": ("sample", _parse_feed),
    "BROKERS": ("", _parse_brokers),
    "CLICKHOUSE": ("", _parse_clickhouse),
    "DATABASE": ("market", _parse_database),
    "EXCHANGES": ("", _parse_exchanges),
    "SHARDS": ("", _parse_shards),
    "INSTRUMENTS": ("", _parse_instruments),
    "SCHEMA_REGISTRY": ("", parse_registry_url),
    "METRICS_PORT": ("", _parse_port),
    "METRICS_ADDRESS": ("127.0.0.1", _parse_address),
    "FRESH_SECONDS": ("60", _parse_seconds),
    "WATCH_SECONDS": ("60", _parse_watch_interval),
    "RECONCILE": ("on", _parse_switch),
    "LINGER_SECONDS": ("", _parse_max_wait),
    "LOG_LEVEL": ("info", parse_log_level),
    "LOG_FORMAT": ("text", parse_log_format),
    "FILL": ("", parse_fill),
    "RAW_PARTITIONS": ("1", _parse_partition_count),
    "NORMALIZED_PARTITIONS": ("4", _parse_partition_count),
    **{f"{exchange.upper()}_URL": ("", _parse_websocket_url) for exchange in EXCHANGES},
    **{f"{exchange.upper()}_REST_URL": ("", _parse_rest_url) for exchange in EXCHANGES},
    **{f"{exchange.upper()}_FILES_URL": ("", _parse_rest_url) for exchange in _WITH_FILES},
}
"""Default and parser of each setting. An empty text counts as unset; an empty default gives
None."""

KAFKA: Final = "KAFKA_"
"""Prefix of properties of librdkafka: KAFKA_SASL_PASSWORD is `sasl.password`."""

FILE: Final = "_FILE"
"""Suffix of a setting that names the file with the value."""

OWN_PROPERTIES: Final = frozenset(
    {
        "acks", "auto.offset.reset", "bootstrap.servers", "delivery.report.only.error",
        "enable.auto.commit", "enable.idempotence", "enable.partition.eof", "group.id",
        "message.timeout.ms", "metadata.broker.list", "request.required.acks",
        "transactional.id",
    }
)  # fmt: skip
"""Properties that users cannot set, as exactness depends on them."""

KEYS: Final = tuple(f"{exchange.upper()}_KEY" for exchange in EXCHANGES)
"""Secret settings: the key of an exchange for REST. With FILE at the end they name a file."""

TESTS: Final = "TEST_"
"""Prefix of settings of the tests."""
