"""Encoding of rows for clients: exact decimals and UTC times as text, one JSON object per row."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from operator import attrgetter
from typing import Any, Final

import msgspec
import polars as pl

from candlewax.core.candles.certificate import COMPLETE, FORMING, GAPS, PARTIAL, UNVERIFIED
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.rows.amounts import DECIMALS, QUOTE_DECIMALS, average_price, format_units
from candlewax.core.rows.candle_rows import CandleRow
from candlewax.core.rows.records import Trade
from candlewax.core.schema import CANDLES, PRICE
from candlewax.exchanges.protocol.dialect import BUY

_EXACT: Final = Context(prec=60)
"""Digits that hold every amount."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

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
"""Columns of a candle's certificate."""

CANDLE: Final = (
    "window_start", "open", "high", "low", "close", "volume", "quote_volume", "vwap", "trade_count",
    "buy_volume", "buy_quote_volume", "open_time", "close_time", "first_sequence",
    "last_sequence", "closed", *CERTIFICATE,
)  # fmt: skip
"""Fields of a candle, in order. `vwap` is cut after 12 decimals."""

_MORE: Final[Mapping[str, Any]] = {
    "vwap": PRICE,
    "closed": pl.Boolean(),
    "status": pl.String(),
    "missing": pl.UInt64(),
    "feed_down_ms": pl.UInt64(),
    "revision": pl.UInt16(),
}

ROWS: Final[Mapping[str, Any]] = {name: _MORE.get(name) or CANDLES[name] for name in CANDLE}
"""Types of the fields of a candle, as in the table."""

TRADE: Final = (
    "timestamp", "side", "price", "quantity", "quote_volume", "trade_id", "sequence",
    "conditions", "received_at",
)  # fmt: skip
"""Fields of a trade, in order."""


def candles(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of `ohlcv`, stored or about to be, with the columns of CANDLE."""
    if rows.schema["status"].is_integer():
        names = pl.col("status").cast(pl.Int64).replace_strict(STATUSES, return_dtype=pl.String)
        rows = rows.with_columns(names)
    if "vwap" not in rows.columns:
        amounts = rows.select("quote_volume", "volume").iter_rows()
        prices = pl.Series("vwap", [_vwap(*pair) for pair in amounts], PRICE)
        rows = rows.with_columns(prices)
    return rows.select(*CANDLE)


def candle(row: Mapping[str, Any]) -> bytes:
    """Return one row about to be stored in `ohlcv` as JSON."""
    row = {**row, "vwap": _vwap(row["quote_volume"], row["volume"])}
    fields = {name: _plain_value(row[name]) for name in CANDLE}
    fields["window_start"] = f"{row['window_start']:%Y-%m-%dT%H:%M:%SZ}"
    fields["status"] = STATUSES[row["status"]]
    return msgspec.json.encode(fields)


def trade(row: Mapping[str, Any]) -> bytes:
    """Return one row about to be stored in `silver_trades` (TRADES) as JSON."""
    fields = {name: _plain_value(row[name]) for name in TRADE if name != "conditions"}
    fields["side"] = "BUY" if row["side"] == BUY else "SELL"
    fields["conditions"] = [] if row["condition"] is None else [row["condition"]]
    return msgspec.json.encode(fields)


def candle_of_row(row: CandleRow) -> bytes:
    """Return a candle as JSON: what `candle` returns of the same row as columns."""
    fields = {
        "window_start": f"{_EPOCH + timedelta(microseconds=row.window_start):%Y-%m-%dT%H:%M:%SZ}",
        "open": format_units(row.open, DECIMALS),
        "high": format_units(row.high, DECIMALS),
        "low": format_units(row.low, DECIMALS),
        "close": format_units(row.close, DECIMALS),
        "volume": format_units(row.volume, DECIMALS),
        "quote_volume": format_units(row.quote_volume, QUOTE_DECIMALS),
        "vwap": format_units(average_price(row.quote_volume, row.volume), DECIMALS),
        "trade_count": row.trade_count,
        "buy_volume": format_units(row.buy_volume, DECIMALS),
        "buy_quote_volume": format_units(row.buy_quote_volume, QUOTE_DECIMALS),
        "open_time": _time_text(row.open_time),
        "close_time": _time_text(row.close_time),
        "first_sequence": row.first_sequence,
        "last_sequence": row.last_sequence,
        "closed": row.closed,
        "status": STATUSES[row.status],
        "missing": row.missing,
        "feed_down_ms": row.feed_down_ms,
        "repaired": row.repaired,
        "revision": row.revision,
    }
    return msgspec.json.encode(fields)


def trade_of_row(row: Trade) -> bytes:
    """Return a trade as JSON: what `trade` returns of the same row as columns."""
    fields = {
        "timestamp": _time_text(row.timestamp),
        "side": "BUY" if row.side == BUY else "SELL",
        "price": format_units(row.price, DECIMALS),
        "quantity": format_units(row.quantity, DECIMALS),
        "quote_volume": format_units(row.quote_volume, QUOTE_DECIMALS),
        "trade_id": row.trade_id,
        "sequence": row.sequence,
        "received_at": _time_text(row.received_at),
        "conditions": [] if row.condition is None else [row.condition],
    }
    return msgspec.json.encode(fields)


def _vwap(quote_volume: Decimal, volume: Decimal) -> Decimal:
    """Return a volume-weighted average price, cut after 12 decimals, as the views do."""
    units = average_price(
        int(quote_volume.scaleb(QUOTE_DECIMALS, _EXACT)), int(volume.scaleb(DECIMALS, _EXACT))
    )
    return Decimal(units).scaleb(-DECIMALS, _EXACT)


def _time_text(time_us: int) -> str:
    return f"{_EPOCH + timedelta(microseconds=time_us):%Y-%m-%dT%H:%M:%S.%fZ}"


def _plain_value(value: Any) -> Any:  # noqa: ANN401 - any value of a row
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}"
    return value


def lines(rows: pl.DataFrame) -> list[bytes]:
    """Return one JSON object per row."""
    if rows.is_empty():
        return []
    return format_values(rows).write_ndjson().encode().splitlines()


def starts(rows: pl.DataFrame) -> list[int]:
    """Return the starts of candles in seconds since 1970."""
    return rows["window_start"].dt.epoch("s").to_list()


def cast_candles(rows: pl.DataFrame) -> pl.DataFrame:
    """Return candles from a query with the columns and types of ROWS."""
    return rows.select(CANDLE).cast(ROWS)  # type: ignore[arg-type]


def json_and_csv(rows: pl.DataFrame) -> tuple[list[bytes], list[bytes]]:
    """Return candles (CANDLE) as one JSON object each, and as rows of CSV."""
    text = format_values(rows.select(CANDLE))
    csv_text = text.write_csv(include_header=False)
    return text.write_ndjson().encode().splitlines(), csv_text.encode().splitlines()


def csv_rows(encoded: Sequence[bytes]) -> list[bytes]:
    """Return candles that `lines` encoded as rows of CSV. No value has a quote or a comma."""
    rows = b"\n".join(b",".join(_values(row)) for row in _decode(array(encoded)))
    return rows.translate(None, b'"').splitlines()


def csv(rows: Iterable[bytes]) -> bytes:
    """Return rows of CSV as a file with its header."""
    return b"\n".join((_HEAD, *rows, b""))


_decode: Final = msgspec.json.Decoder(
    list[msgspec.defstruct("_RawCandle", [(name, msgspec.Raw) for name in CANDLE])]  # type: ignore[misc]  # made here
).decode
_values: Final = attrgetter(*CANDLE)
_HEAD: Final = ",".join(CANDLE).encode()


def array(encoded: Sequence[bytes]) -> bytes:
    """Return JSON objects as a JSON array."""
    return b"[" + b",".join(encoded) + b"]"


def format_values(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with amounts and times as text.

    Amounts have no trailing zeros. Times are ISO 8601 in UTC: whole seconds for columns named
    `window_...`, microseconds for the others.
    """
    return rows.with_columns(
        *(_amount(name) for name, kind in rows.schema.items() if isinstance(kind, pl.Decimal)),
        *(_time(name) for name, kind in rows.schema.items() if isinstance(kind, pl.Datetime)),
    )


def _amount(name: str) -> pl.Expr:
    # The text of a decimal always has a point: the scale is 12 or 18.
    return pl.col(name).cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")


def _time(name: str) -> pl.Expr:
    pattern = "%Y-%m-%dT%H:%M:%SZ" if name.startswith("window_") else "%Y-%m-%dT%H:%M:%S%.6fZ"
    return pl.col(name).dt.strftime(pattern)
