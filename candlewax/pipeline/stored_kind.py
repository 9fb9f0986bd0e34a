"""Kind of data of an older database without a claim, inferred from its content."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from candlewax.clickhouse.client import Database
from candlewax.core.kind_marks import KIND_TEXTS, REAL, SAMPLE_KIND, SIMULATED, SIMULATOR_MARK
from candlewax.data import SAMPLE
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.frame_buffer import redact_url
from candlewax.feeds.replay.log_reader import blocks

_FILLED: Final = """
SELECT (SELECT count() FROM bronze_frames) + (SELECT count() FROM silver_trades) > 0 AS filled
"""

# The only proof in frames; but these are kept for 7 days, and a recording may hold no events.
_CONNECTED: Final = """
SELECT DISTINCT exchange, JSONExtractString(frame, 'url') AS url,
    JSONExtractString(frame, 'made') AS made
FROM bronze_frames
WHERE kind = 'control' AND startsWith(frame, '{"candlewax":"connected"')
"""

# The sample's receive times are whole milliseconds, so its trades come first.
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
"""Market and number of a trade, as Binance, Kraken and Coinbase write them."""


@dataclass(frozen=True)
class InferredKind:
    """Kind inferred for a database, and the reason."""

    kind: str
    reason: str


def infer_kind(database: Database) -> InferredKind | None:
    """Return the kind of data that a database holds, None if it is empty."""
    if not database.query(_FILLED).item():
        return None
    events = database.query(_CONNECTED).rows()
    simulated = any(marker == SIMULATOR_MARK for *_, marker in events)
    own_urls = {(exchange, redact_url(rules.live.url)) for exchange, rules in EXCHANGES.items()}
    other_urls = sorted(
        {url for exchange, url, marker in events if not marker} - {url for _, url in own_urls}
    )
    real = any((exchange, url) in own_urls for exchange, url, marker in events if not marker)
    sample, others = _find_sample(database)
    evidence = {SIMULATED: simulated, SAMPLE_KIND: sample, REAL: real or (others and not simulated)}
    kinds = [kind for kind, is_proven in evidence.items() if is_proven]
    if kinds == [REAL] and other_urls and not real:
        return InferredKind(REAL, f"nothing says what answered at {', '.join(other_urls)}")
    if len(kinds) > 1:
        kind = REAL if evidence[REAL] else SIMULATED
        return InferredKind(
            kind, " and ".join(KIND_TEXTS[each] for each in kinds) + " lie beside each other"
        )
    return InferredKind(
        kinds[0] if kinds else REAL, "as all in it says" if kinds else "nothing says so"
    )


def _find_sample(database: Database) -> tuple[bool, bool]:
    """Tell if trades of the sample are stored, and if other trades are stored."""
    text = b"".join(blocks(SAMPLE, lambda _: None))
    lines = text.split(b"\n")[:-1]
    begin, end = (_received_at(line) for line in (lines[0], lines[-1]))
    span = {"begin": begin, "end": end + timedelta(microseconds=1)}
    stored = database.query(_TRADES, span).rows()
    sample_trades = {(symbol.decode(), number.decode()) for symbol, number in _TRADE.findall(text)}
    markets = {symbol for symbol, _ in sample_trades}
    is_stored = any(trade in sample_trades for trade in stored)
    # The pattern finds no numbers of some markets of the sample: they prove nothing here.
    others = [
        trade
        for trade in stored
        if trade not in sample_trades and (not is_stored or trade[0] in markets)
    ]
    return is_stored, bool(others) or bool(database.query(_OTHER, span).item())


def _received_at(line: bytes) -> datetime:
    whole_us = int(line.partition(b"\t")[0]) // 1000
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=whole_us)
