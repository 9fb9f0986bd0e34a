"""Texts of frames: garbage, nearly valid ones, and valid frames in two layouts."""

import json
import random
from typing import Any

from hypothesis import strategies as st

from candlewax.exchanges import EXCHANGES

NAMES = sorted(EXCHANGES)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    ["e", "s", "t", "p", "q", "T", "m", "channel", "data", "events", "trades", "type", "price",
     "qty", "size", "side", "symbol", "product_id", "trade_id", "time", "timestamp", "stream"]
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    ["trade", "match", "market_trades", "BTCUSDT", "BTC/USD", "BTC-USD", "buy", "SELL", "1.5",
     "NaN", "1e400", "-0", "0.1234567890123", 2**63, 2**64, -1, 1.5, True, None, [], {}, "\ud7ff",
     "a\nb", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00Z", 1700000000000, 253402300799999]
)  # fmt: skip
NEARLY: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(FIELDS, VALUES),
    lambda inner: st.dictionaries(FIELDS, inner | VALUES | st.lists(inner, max_size=2)),
    max_leaves=6,
)
TEXTS = st.one_of(st.text(), JSON.map(json.dumps), NEARLY.map(json.dumps))


def binance_fields(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "e": "trade",
        "E": draw(st.integers(0, 10**13)),
        "s": draw(st.sampled_from(["BTCUSDT", "ETHBTC", "QQQ", "XRPEUR"])),
        "t": draw(st.integers(0, 2**64)),
        "p": str(draw(st.decimals(0, 10**9, places=8))),
        "q": str(draw(st.decimals(0, 10**9, places=13))),
        "T": draw(st.integers(0, 1_900_000_000_000)),
        "m": draw(st.booleans()),
        "M": draw(st.booleans()),
    }


def kraken_fields(draw: st.DrawFn) -> str:
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        price, qty = (draw(st.decimals(0, 10**6, places=9)) for _ in range(2))
        second = draw(st.integers(0, 59))
        rows.append(
            f'{{"symbol":"BTC/USD","side":"{draw(st.sampled_from(["buy", "sell", "x"]))}",'
            f'"price":{price:f},"qty":{qty:f},"ord_type":"limit",'
            f'"trade_id":{draw(st.integers(0, 2**64))},'
            f'"timestamp":"2026-09-25T07:49:{second:02}.708706Z"}}'
        )
    return f'{{"channel":"trade","type":"update","data":[{",".join(rows)}]}}'


@st.composite
def valid_frames(draw: st.DrawFn) -> tuple[str, str, str]:
    """An exchange, a frame as it sends it, and the same frame in another layout."""
    if draw(st.booleans()):
        fields = binance_fields(draw)
        mixed = list(fields.items())
        random.Random(draw(st.integers())).shuffle(mixed)
        return (
            "binance",
            json.dumps(fields, separators=(",", ":")),
            json.dumps(dict(mixed), indent=1),
        )
    text = kraken_fields(draw)
    return "kraken", text, text.replace(",", " ,").replace("{", "{ ")
