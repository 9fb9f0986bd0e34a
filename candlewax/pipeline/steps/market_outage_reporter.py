"""Reporter of market outages: rows of `market_outages`."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import polars as pl

from candlewax.core.gaps.market_outages import FOREVER, MARKET_OUTAGES, MarketOutage, outage_rows
from candlewax.core.schema import empty
from candlewax.core.trades.decode import DecodedFrames
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.exchanges import counts_trades
from candlewax.runtime.counters import Counters

_log: Final = logging.getLogger(__name__)


def describe_lost(outages: Sequence[MarketOutage]) -> str:
    """Name the market that was longest without a connection, for how long, and how many others."""
    longest = max(outages, key=lambda outage: outage.ended - outage.began)
    others = f", {len(outages) - 1:,} more for at most as long" if len(outages) > 1 else ""
    return (
        f"{longest.symbol} was without a connection for {(longest.ended - longest.began) / 1e6:.1f}"
        f" s{others}; no number shows which trades that cost"
    )


class MarketOutageReporter:
    """Reporter of the market outages of one shard of an exchange.

    No market that `is_subscribed` denies (exchange and unified symbol) counts as refused.
    """

    def __init__(self, counters: Counters, is_subscribed: Callable[[str, str], bool]) -> None:
        self._counters = counters
        self._is_subscribed = is_subscribed

    def rows_for(
        self, deduplicator: Deduplicator, decoded: DecodedFrames, latest: Mapping[str, int]
    ) -> pl.DataFrame:
        """Apply subscription events and trades to the market outages.

        `latest`: times of the latest trades by symbol, from before the batch. Return MARKET_OUTAGES
        that began or ended.
        """
        exchange, frames, events = (
            decoded.exchange,
            decoded.connection_frames,
            decoded.subscriptions,
        )
        outages = deduplicator.market_outages
        changed = outages.apply_events(frames, events, latest, decoded.placed_trades)
        if counts_trades(exchange):
            proven = outages.take_proven(decoded.trades)
            spans = [(each.symbol, each.since, (each.ended or FOREVER) - 1) for each in changed]
            spans += [(symbol, since, ended - 1) for symbol, since, ended in proven]
            deduplicator.add_spans(spans)
        else:
            # No trade can prove an outage there: each candle is unverified, whatever was missed.
            outages.unproven.clear()
            lost = deduplicator.market_connections.observe(frames, events)
            if lost:
                _log.warning("%s: %s", exchange, describe_lost(lost))
            changed += lost
        self._count(decoded, outages.began, changed)
        return outage_rows(exchange, changed) if changed else empty(MARKET_OUTAGES)

    def _count(
        self,
        decoded: DecodedFrames,
        open_symbols: Mapping[str, int],
        changed: Sequence[MarketOutage],
    ) -> None:
        """Count outages that ended, and set the number of refused markets."""
        exchange, ended = decoded.exchange, sum(bool(outage.ended) for outage in changed)
        if ended:
            self._counters.increment(ended, "market_outages", exchange)
        refused = sum(self._is_subscribed(exchange, symbol) for symbol in open_symbols)
        self._counters.set_gauge(refused, "refused_markets", exchange, part=decoded.shard.index)
