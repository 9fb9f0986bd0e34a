"""Decoding frame by frame: equal to decoding in columns."""

import json
from decimal import Decimal, localcontext
from typing import Any

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from candlewax.core.rows import frame_decoder as rows
from candlewax.core.rows.records import Frame
from candlewax.core.schema import FRAMES, TRADES, VENDOR
from candlewax.core.trades import decode as columns
from candlewax.exchanges import EXCHANGES
from tests.support.decoding import INSTRUMENTS, RECEIVED_NS
from tests.support.frame_texts import NAMES, TEXTS, valid_frames

RECEIVED_MS = RECEIVED_NS // 1_000_000

AMOUNTS = st.sampled_from(
    ["0", "0.0", "1", "1.5", "00.5", "0.000000000001", "0.0000000000001", "1e-12", "1e-13", "15e-1",
     "1e18", "999999999999999999", "1000000000000000000", "1000000000000000000.0",
     "9999999999999999999", "10000000000000000000", "1E5", "1e99999", "-1", "+1", "", " 1", "1_0",
     "0.000001", "0.0000005", "0.0000015", ".5", "5.", "NaN", "\u0661"]
)  # fmt: skip
"""Values at each limit: decimals, digits, signs, exponents, halves of the last decimal."""

TIMES_MS = st.sampled_from(
    [0, -1, 1, RECEIVED_MS, RECEIVED_MS + 60_000, RECEIVED_MS + 60_001, 10**15 - 1, 10**15,
     -(10**15), -(10**15) + 1, RECEIVED_NS // 1000 + 60_000_000, RECEIVED_NS // 1000 + 60_000_001,
     2**63 - 1, 2**63]
)  # fmt: skip
ISO_TIMES = st.sampled_from(
    ["2026-09-15T12:00:07.5Z", "2026-09-15T12:00:07Z", "2026-09-15T12:00:07+02:00",
     "2026-09-15T12:00:07.123456789Z", "2026-09-15T12:00:07.1234567891Z", "2026-09-15T12:00:60Z",
     " 2026-09-15T12:00:07Z", "+2026-09-15T12:00:07Z", "2026-9-5T1:2:3Z", "0000-01-01T00:00:00Z",
     "0001-01-01T00:00:00Z", "2026-09-15T12:00:07", "2026-09-15t12:00:07z", "2026-09-15T24:00:00Z",
     "2026-09-31T12:00:07Z", "2027-01-15T08:01:00.123456Z", "2027-01-15T08:01:00.123457Z", "",
     "2026-09-15T12:00:07.Z"]
)  # fmt: skip
IDS = st.sampled_from(
    ["7", "007", "+7", " 7", "", "-0", "18446744073709551615", "18446744073709551616", "\u0667",
     "1_0", "9" * 5000, "\u2003x", "\x1cx"]
)  # fmt: skip


@st.composite
def binance(draw: st.DrawFn) -> str:
    """A trade of Binance with values at the limits."""
    fields = {
        "e": "trade", "E": 1, "s": draw(st.sampled_from(["BTCUSDT", "QQQ"])),
        "t": draw(st.sampled_from([0, 7, 2**64 - 1, 2**64, -1])), "p": draw(AMOUNTS),
        "q": draw(AMOUNTS), "T": draw(TIMES_MS), "m": draw(st.booleans()),
        **({"X": draw(st.sampled_from(["MARKET", "RPI", "ADL", "NA", ""]))}
           if draw(st.booleans()) else {}),
        **({"odd": draw(st.sampled_from([None, [1.5, {}], "\u2028", True]))}
           if draw(st.booleans()) else {}),
    }  # fmt: skip
    return json.dumps(fields)


@st.composite
def kraken(draw: st.DrawFn) -> str:
    """Trades of Kraken, v2 or v1, with values at the limits; v1 trades may be equal."""
    if draw(st.booleans()):
        fills = draw(
            st.lists(
                st.tuples(
                    st.sampled_from(["1.5", "0"]), st.sampled_from(["2", "x"]),
                    st.sampled_from(["1534614057.321597", "1534614057.3215979", "1534614057321",
                                     "1534614057.", "x", "99999999999.9", "1534614057.321597\n"]),
                    st.sampled_from(["b", "s", "B"]), st.just("l"), st.just(""),
                ).map(list),
                min_size=1, max_size=4,
            )
        )  # fmt: skip
        return json.dumps([0, fills, "trade", "XBT/USD"])
    trades = [
        {"symbol": "BTC/USD", "side": draw(st.sampled_from(["buy", "sell", "BUY"])), "price": 1.5,
         "qty": 2, "ord_type": "limit", "trade_id": draw(st.integers(-1, 3)),
         "timestamp": draw(ISO_TIMES)}
        for _ in range(draw(st.integers(1, 3)))
    ]  # fmt: skip
    return json.dumps({"channel": "trade", "type": "update", "data": trades})


@st.composite
def coinbase(draw: st.DrawFn) -> str:
    """A match of Coinbase with values at the limits."""
    trade = {
        "product_id": "BTC-USD", "trade_id": draw(IDS), "price": draw(AMOUNTS),
        "size": draw(AMOUNTS), "side": draw(st.sampled_from(["BUY", "sell", "Sell", "x", " buy"])),
        "time": draw(ISO_TIMES),
    }  # fmt: skip
    events = [{"type": "update", "trades": [trade]}]
    return json.dumps({"channel": "market_trades", "sequence_num": 0, "events": events})


DUMP_LINES = st.lists(
    st.sampled_from(
        ["51175358,17.8,5.69,101.29,1583709433583,True,True", "id,price,qty,quoteQty,time,x",
         "28457,4.000001,12,48.00,1499865549590,true", "1,2,3", "", "\r", ",,,,,",
         "+7,1,1,1,1583709433583000,FALSE", "7,1,1,1, 1583709433583,TRUE,x", "1,2,3,4,5,6,7,8"]
    ),
    max_size=5,
).map("\n".join)  # fmt: skip
EVENTS = st.sampled_from(
    ['{"candlewax":"connected","process":"a"}', '{"candlewax":"disconnected"}',
     '{"candlewax":"refused","instruments":["BTCUSDT","QQQ",7]}', '{"candlewax":null}',
     '{"candlewax":"subscribed","instruments":["BTCUSDT"]}']
)  # fmt: skip

ANSWERS = st.sampled_from(
    ['[{"id":28457,"price":"4.00000100","qty":"12.0","quoteQty":"48","time":1499865549590,'
     '"isBuyerMaker":true,"isBestMatch":true},{"id":1}]',
     '{"error":[],"result":{"XXBTZUSD":[["30243.4","0.3",1688669597.8277369,"b","m","",61],[]],'
     '"last":"1"}}',
     '[{"time":"2020-03-20T00:36:59.860Z","trade_id":86,"price":"6225.3","size":"0.06","side":'
     '"sell"}]', "[]", "{}"]
)  # fmt: skip

FRAME_TEXTS = st.one_of(
    TEXTS, valid_frames().map(lambda example: example[1]), binance(), kraken(), coinbase(),
    EVENTS, ANSWERS, DUMP_LINES,
)  # fmt: skip
CONNECTIONS = st.sampled_from(
    ["c0", "c1", "rest/BTCUSDT", "rest/BTC/USD", "rest/BTC-USD", "dump/BTCUSDT", "rest/", "dump/"]
)


def scaled(units: int, decimals: int) -> Decimal:
    """Units of 10^-decimals as a decimal."""
    with localcontext(prec=60):
        return Decimal(units).scaleb(-decimals)


def by_columns(exchange: str, frames: list[tuple[int, str, int, str]]) -> list[Any]:
    """Return what the columnar decoder gives, as plain rows."""
    table = pl.DataFrame(frames, schema=FRAMES, orient="row")
    decoded = columns.decode(EXCHANGES[exchange], table, INSTRUMENTS)
    vendor = [name for name in decoded.trades.columns if name.startswith(VENDOR)]
    plain = decoded.trades.with_columns(
        pl.col("timestamp", "received_at").cast(pl.Int64),
        pl.col("symbol", "native_symbol", "base", "quote").cast(pl.String),
    )
    trades = [
        {
            **{name: row[name] for name in ("row", *TRADES)},
            "vendor": {
                name.removeprefix(VENDOR): row[name] for name in vendor if row[name] is not None
            },
        }
        for row in plain.iter_rows(named=True)
    ]
    letters = decoded.dead_letters.select(
        "source_offset", "source_index", "scope", "reason", "detail"
    )
    return [
        decoded.bronze["kind"].to_list(), decoded.bronze["trades"].to_list(), trades,
        letters.rows(), list(decoded.events), list(decoded.subscriptions),
    ]  # fmt: skip


def by_rows(exchange: str, frames: list[tuple[int, str, int, str]]) -> list[Any]:
    """Return what the row decoder gives, in the same form."""
    batch = [Frame(ns, name, seq, text, name, 0, seq) for ns, name, seq, text in frames]
    decoded = rows.decode(EXCHANGES[exchange], batch, INSTRUMENTS)
    trades = []
    for trade in decoded.trades:
        row = {"exchange": exchange, **trade._asdict()}
        for name, decimals in (("price", 12), ("quantity", 12), ("quote_volume", 18)):
            row[name] = scaled(row[name], decimals)
        trades.append(row)
    letters = [(batch[row].source_offset, *rest) for row, *rest in decoded.dead_letters]
    return [
        decoded.kinds, decoded.counts, trades, letters, decoded.events, decoded.subscriptions,
    ]  # fmt: skip


def numbered(texts: list[tuple[str, str]]) -> list[tuple[int, str, int, str]]:
    """Frames with these connections and texts, numbered in order."""
    return [(RECEIVED_NS + n, name, n, text) for n, (name, text) in enumerate(texts)]


@given(
    st.sampled_from(NAMES),
    st.lists(st.tuples(st.just("c0") | CONNECTIONS, FRAME_TEXTS), max_size=8),
)
@example(
    "kraken",
    [("c0", '[0,[["1.5","2","1.5","b","l",""],["1.5","2","1.5","b","l",""]],"trade","XBT/USD"]')],
)
def test_rows_and_columns_decode_any_text_equally(
    exchange: str, texts: list[tuple[str, str]]
) -> None:
    """Trades, kinds, counts, dead letters and events are equal."""
    frames = numbered(texts)
    assert by_rows(exchange, frames) == by_columns(exchange, frames)
