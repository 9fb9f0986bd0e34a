"""Rows as they leave: exact amounts and UTC times as text, one JSON object a row."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

import msgspec
import polars as pl

from candlewax.core.candles.certificate import COMPLETE, FORMING, GAPS, PARTIAL, UNVERIFIED
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.schema import CANDLES
from candlewax.exchanges.protocol.dialect import BUY

TIMEFRAME_NAMES: Final = {number: name for name, (number, _) in TIMEFRAMES.items()}

STATUSES: Final = {
    FORMING: "forming",
    COMPLETE: "complete",
    GAPS: "gaps",
    PARTIAL: "partial",
    UNVERIFIED: "unverified",
}
"""The values of `status` in `ohlcv`."""

CERTIFICATE: Final = ("status", "missing", "feed_down_ms", "repaired", "revision")
"""What a candle says about its own completeness."""

CANDLE: Final = (
    "window_start", "open", "high", "low", "close", "volume", "quote_volume", "trade_count",
    "buy_volume", "buy_quote_volume", "open_time", "close_time", "first_sequence",
    "last_sequence", "closed", *CERTIFICATE,
)  # fmt: skip
"""The fields of a candle."""

_MORE: Final[Mapping[str, Any]] = {
    "closed": pl.Boolean(),
    "status": pl.String(),
    "missing": pl.UInt64(),
    "feed_down_ms": pl.UInt64(),
    "revision": pl.UInt16(),
}

ROWS: Final[Mapping[str, Any]] = {name: _MORE.get(name) or CANDLES[name] for name in CANDLE}
"""Their types: those of the table."""

TRADE: Final = (
    "timestamp", "side", "price", "quantity", "quote_volume", "trade_id", "sequence",
    "conditions", "received_at",
)  # fmt: skip
"""The fields of a trade."""


def candles(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `ohlcv`, from the table or on their way to it, with the columns of CANDLE."""
    if rows.schema["status"].is_integer():
        names = pl.col("status").cast(pl.Int64).replace_strict(STATUSES, return_dtype=pl.String)
        rows = rows.with_columns(names)
    return rows.select(*CANDLE)


def candle(row: Mapping[str, Any]) -> bytes:
    """The same as JSON, of one row on its way to `ohlcv`."""
    said = {name: _said(row[name]) for name in CANDLE}
    said["window_start"] = f"{row['window_start']:%Y-%m-%dT%H:%M:%SZ}"
    said["status"] = STATUSES[row["status"]]
    return msgspec.json.encode(said)


def trade(row: Mapping[str, Any]) -> bytes:
    """A trade on its way to its table (TRADES), as JSON."""
    said = {name: _said(row[name]) for name in TRADE if name != "conditions"}
    said["side"] = "BUY" if row["side"] == BUY else "SELL"
    said["conditions"] = [] if row["condition"] is None else [row["condition"]]
    return msgspec.json.encode(said)


def _said(value: Any) -> Any:  # noqa: ANN401 - a value of a frame
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}"
    return value


def lines(rows: pl.DataFrame) -> list[bytes]:
    """One JSON object for each row."""
    if rows.is_empty():
        return []
    return readable(rows).write_ndjson().encode().splitlines()


def starts(rows: pl.DataFrame) -> list[int]:
    """When candles begin, in seconds since 1970."""
    return rows["window_start"].dt.epoch("s").to_list()


def typed(rows: pl.DataFrame) -> pl.DataFrame:
    """Candles, as a query gave them, in the columns of ROWS."""
    return rows.select(CANDLE).cast(ROWS)  # type: ignore[arg-type]


def texts(rows: pl.DataFrame) -> tuple[list[bytes], list[bytes]]:
    """One JSON object for each of some candles (CANDLE), and its row of CSV."""
    text = readable(rows.select(CANDLE))
    told = text.write_ndjson(), text.write_csv(include_header=False)
    said, listed = (one.encode().splitlines() for one in told)
    return said, listed


def listed(encoded: Sequence[bytes]) -> list[bytes]:
    """What `lines` gave of candles, as rows of CSV; no value of theirs has a quote or a comma."""
    rows = b"\n".join(b",".join(_values(row)) for row in _decode(array(encoded)))
    return rows.translate(None, b'"').splitlines()


def csv(rows: Iterable[bytes]) -> bytes:
    """Rows of CSV, with their header."""
    return b"\n".join((_HEAD, *rows, b""))


_decode: Final = msgspec.json.Decoder(
    list[msgspec.defstruct("_Said", [(name, msgspec.Raw) for name in CANDLE])]  # type: ignore[misc]  # made here
).decode
_values: Final = attrgetter(*CANDLE)
_HEAD: Final = ",".join(CANDLE).encode()


def array(encoded: Sequence[bytes]) -> bytes:
    """A JSON array of what `lines` gave."""
    return b"[" + b",".join(encoded) + b"]"


def readable(rows: pl.DataFrame) -> pl.DataFrame:
    """Amounts and times as text: an amount without the zeros at its end, a time as ISO
    8601 in UTC, with microseconds unless all of a column stand on whole seconds by name.
    """
    return rows.with_columns(
        *(_amount(name) for name, kind in rows.schema.items() if isinstance(kind, pl.Decimal)),
        *(_time(name) for name, kind in rows.schema.items() if isinstance(kind, pl.Datetime)),
    )


def _amount(name: str) -> pl.Expr:
    # A decimal's text always has a point here: its scale is 12 or 18.
    return pl.col(name).cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")


def _time(name: str) -> pl.Expr:
    form = "%Y-%m-%dT%H:%M:%SZ" if name.startswith("window_") else "%Y-%m-%dT%H:%M:%S%.6fZ"
    return pl.col(name).dt.strftime(form)
