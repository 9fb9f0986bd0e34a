"""Trades and dead letters as rows, and trades as plain JSON."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import strategies as st

from candlewax.core.schema import SCOPE_TRADE, TRADES
from candlewax.exchanges import EXCHANGES

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = 253_402_300_799_999_999 - 60_000_000

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
NAMES = st.text(st.sampled_from('ABC/:"\\\n\t ,{}nul\u2028é'), min_size=1, max_size=8)
AMOUNTS = st.integers(1, 10**30 - 1).map(lambda n: Decimal(f"{n}e-12"))
VOLUMES = st.integers(0, 10**33 - 1).map(lambda n: Decimal(f"{n}e-18"))
TIMES = st.integers(0, LATEST).map(lambda n: EPOCH + timedelta(microseconds=n))


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Trades with any values, some with fields of their exchange that others lack."""
    received = draw(TIMES)
    fields = draw(st.lists(NAMES, max_size=3, unique=True))
    return [
        {
            "exchange": draw(st.sampled_from(sorted(EXCHANGES))),
            "symbol": draw(NAMES),
            "native_symbol": draw(NAMES),
            "base": draw(NAMES),
            "quote": draw(NAMES),
            "trade_id": draw(TEXTS),
            "sequence": draw(st.one_of(st.integers(0, 2**64 - 1), st.just(2**64 - 1))),
            "timestamp": min(draw(TIMES), received + timedelta(seconds=60)),
            "side": draw(st.sampled_from([1, 2])),
            "price": draw(AMOUNTS),
            "quantity": draw(AMOUNTS),
            "quote_volume": draw(VOLUMES),
            "condition": draw(st.one_of(st.none(), NAMES)),
            "received_at": received,
            "source": draw(TEXTS),
            "source_partition": draw(st.integers(0, 2**32 - 1)),
            "source_offset": draw(st.integers(0, 2**64 - 1)),
            "source_index": draw(st.integers(0, 2**16 - 1)),
            "via": draw(st.sampled_from([1, 2, 3])),
            "numbering": draw(st.sampled_from([0, 0, 0, 7, 2**32 - 1])),
            **{f"vendor.{name}": draw(st.one_of(st.none(), TEXTS)) for name in fields},
        }
        for _ in range(draw(st.integers(1, 5)))
    ]


def frame(trade_rows: list[dict[str, Any]]) -> pl.DataFrame:
    vendor = {name: pl.String for name in trade_rows[0] if name.startswith("vendor.")}
    return pl.DataFrame(trade_rows, schema={**TRADES, **vendor}, orient="row")


def trade(**changed: Any) -> dict[str, Any]:
    """A message, as plain JSON."""
    return {
        "exchange": "binance", "symbol": "BTC/USDT", "native_symbol": "BTCUSDT", "base": "BTC",
        "quote": "USDT", "trade_id": "7", "sequence": 7, "timestamp": 1_750_000_000_000_000,
        "side": "BUY", "price": "1.5", "quantity": "2", "quote_volume": "3", "conditions": [],
        "received_at": 1_750_000_000_100_000, "source": "raw", "source_partition": 0,
        "source_offset": 9, "source_index": 0, **changed,
    }  # fmt: skip


def encoded(message: Any) -> bytes:
    return json.dumps(message).encode()


def letter(**changed: Any) -> dict[str, Any]:
    return {
        "exchange": "kraken", "connection": "k0", "source": "raw", "source_partition": 1,
        "source_offset": 2**64 - 1, "source_index": 3,
        "received_at": datetime(2025, 6, 15, 12, 0, 0, 1, UTC), "received_ns": 7,
        "scope": SCOPE_TRADE, "reason": "bad_price", "detail": 'got "é"',
        "frame": b'{"a":"\xc3\xa9"}', **changed,
    }  # fmt: skip


BAD_MESSAGES: list[tuple[bytes, str]] = [
    (b"", "truncated"),
    (b"\xff\xfe", "malformed"),
    (b"null", "object"),
    (b"[]", "object"),
    (b"{}", "missing required field"),
    (b'{"a":' * 20_000, "recursion"),
    (b"[" * 20_000, ""),
    (encoded(trade(exchange="nasdaq")), "unknown exchange"),
    (encoded(trade(side="HOLD")), "side"),
    (encoded(trade(price=1.5)), "str"),
    (encoded(trade(price="1e3")), "exactly"),
    (encoded(trade(price="-1")), "exactly"),
    (encoded(trade(price="1.0000000000001")), "exactly"),
    (encoded(trade(price="")), "exactly"),
    (encoded(trade(price="nan")), "exactly"),
    (encoded(trade(quantity="1" * 20)), "exactly"),
    (encoded(trade(quantity="1\n")), "exactly"),
    (encoded(trade(quantity="\u0661")), "exactly"),
    (encoded(trade(quote_volume="0." + "1" * 19)), "exactly"),
    (encoded(trade(sequence=-1)), "sequence"),
    (encoded(trade(sequence=2**64)), "exactly"),
    (encoded(trade(source_offset=2**64)), "exactly"),
    (encoded(trade(source_index=65536)), "source_index"),
    (encoded(trade(source_partition=2**32)), "source_partition"),
    (encoded(trade(timestamp=253_402_300_800_000_000)), "timestamp"),
    (encoded(trade(timestamp=1_750_000_060_100_001)), "no trade can have"),
    (encoded(trade(price="0.0")), "no trade can have"),
    (encoded(trade(quantity="0")), "no trade can have"),
    (encoded(trade(quantity="1" + "0" * 18)), "no trade can have"),
    (encoded(trade(quote_volume="1" + "0" * 15)), "no trade can have"),
    (encoded(trade(timestamp=-1)), "timestamp"),
    (encoded(trade(timestamp="now")), "timestamp"),
    (encoded(trade(conditions="X")), "conditions"),
    (encoded(trade(via="pigeon")), "via"),
    (encoded(trade(outages=[[1, 2, 3]])), "outages"),
    (encoded(trade(outages=[[1, -2]])), "outages"),
    (encoded(trade(outages=[[1, 5], [7, 7]])), "outage without an end"),
    (encoded(trade()) + b"{}", "trailing"),
    (encoded(trade()) + b"\n" + encoded(trade()), "trailing"),
]
"""Messages that are no trades, and a part of what is said of each."""
