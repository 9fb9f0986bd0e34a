"""The kind of a database that was filled before databases told theirs, by what it holds."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from candlewax.clickhouse.client import Database
from candlewax.core.kind_marks import DESCRIBED, MADE, REAL, SAMPLE_KIND, SIMULATED
from candlewax.data import SAMPLE
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.frame_buffer import redact_url
from candlewax.feeds.replay.log_reader import blocks

_FILLED: Final = """
SELECT (SELECT count() FROM bronze_frames) + (SELECT count() FROM silver_trades) > 0 AS filled
"""

# Frames are kept for days only, and a recording may hold no events of ours.
_CONNECTED: Final = """
SELECT DISTINCT exchange, JSONExtractString(frame, 'url') AS url,
    JSONExtractString(frame, 'made') AS made
FROM bronze_frames
WHERE kind = 'control' AND startsWith(frame, '{"candlewax":"connected"')
"""

# The sample's times of receipt are whole milliseconds: its trades come first.
_TRADES: Final = """
SELECT native_symbol, trade_id FROM silver_trades
WHERE timestamp BETWEEN {begin:DateTime64(6)} - INTERVAL 1 DAY AND {end:DateTime64(6)}
    AND received_at BETWEEN {begin:DateTime64(6)} AND {end:DateTime64(6)}
ORDER BY toUnixTimestamp64Micro(received_at) % 1000
LIMIT 100 BY exchange, native_symbol
"""

_OTHER: Final = """
SELECT count() > 0 AS there FROM silver_trades
WHERE received_at NOT BETWEEN {begin:DateTime64(6)} AND {end:DateTime64(6)}
"""

_TRADE: Final = re.compile(rb'"(?:s|symbol|product_id)":"([^"]+)",[^{}]*?"(?:t|trade_id)":"?(\d+)')
"""The market and the number of a trade, as Binance, Kraken and Coinbase write them."""


@dataclass(frozen=True)
class Examined:
    """What a database is taken for, and what that follows from."""

    kind: str
    why: str


def examine(database: Database) -> Examined | None:
    """Return what a database holds; None if it is empty."""
    if not database.query(_FILLED).item():
        return None
    events = database.query(_CONNECTED).rows()
    made = any(said == MADE for *_, said in events)
    own = {(exchange, redact_url(rules.live.url)) for exchange, rules in EXCHANGES.items()}
    elsewhere = sorted({url for exchange, url, said in events if not said} - {u for _, u in own})
    real = any((exchange, url) in own for exchange, url, said in events if not said)
    sample, others = _of_sample(database)
    signs = {SIMULATED: made, SAMPLE_KIND: sample, REAL: real or (others and not made)}
    found = [kind for kind, there in signs.items() if there]
    if found == [REAL] and elsewhere and not real:
        return Examined(REAL, f"nothing says what answered at {', '.join(elsewhere)}")
    if len(found) > 1:
        kind = REAL if signs[REAL] else SIMULATED
        return Examined(
            kind, " and ".join(DESCRIBED[one] for one in found) + " lie beside each other"
        )
    return Examined(
        found[0] if found else REAL, "as all in it says" if found else "nothing says so"
    )


def _of_sample(database: Database) -> tuple[bool, bool]:
    """Whether trades of the sample are stored, and whether others are that it cannot hold."""
    text = b"".join(blocks(SAMPLE, lambda _: None))
    lines = text.split(b"\n")[:-1]
    begin, end = (_received(line) for line in (lines[0], lines[-1]))
    span = {"begin": begin, "end": end + timedelta(microseconds=1)}
    stored = database.query(_TRADES, span).rows()
    known = {(symbol.decode(), number.decode()) for symbol, number in _TRADE.findall(text)}
    markets = {symbol for symbol, _ in known}
    there = any(trade in known for trade in stored)
    # Markets whose trades have no numbers there tell nothing beside those that have.
    others = [
        trade for trade in stored if trade not in known and (not there or trade[0] in markets)
    ]
    return there, bool(others) or bool(database.query(_OTHER, span).item())


def _received(line: bytes) -> datetime:
    whole_us = int(line.partition(b"\t")[0]) // 1000
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=whole_us)
