"""The bundled sample: some hours of three exchanges, made from a seed.

    python -m candlewax.simulator.recording.sample

writes it anew, with a manifest of what was put in. Binance comes with one market of
its futures, whose trades may carry conditions; Kraken and Coinbase with one market
each on their older protocols.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import zstandard

from candlewax.core import frame_log
from candlewax.data import MANIFEST, SAMPLE
from candlewax.simulator.frames import control
from candlewax.simulator.frames import trades as frames
from candlewax.simulator.frames.channels import (
    AdvancedTrade,
    BinanceSpot,
    BinanceUsdm,
    CoinbaseExchange,
    Feed,
    KrakenV1,
    KrakenV2,
)
from candlewax.simulator.market import catalog, market
from candlewax.simulator.market.market import MINUTE_US, SECOND_US, Market, Trade
from candlewax.simulator.market.rng import generator
from candlewax.simulator.recording import connections, faults
from candlewax.simulator.recording.connections import Line, Published, Sent
from candlewax.simulator.recording.manifest import counted

SEED: Final = 20_260_914
START_US: Final = 1_789_421_400 * SECOND_US
"""2026-09-14 21:30 UTC: from here on somebody listens."""

END_US: Final = START_US + 280 * MINUTE_US
EARLIER_US: Final = START_US - 40 * MINUTE_US
"""From here on there are trades, for the exchanges to show to who comes."""

HOLE: Final = ("LINKUSDT", 700, 7)
"""A market, and which of its trades never come: from this place on, so many."""

_ORDER_US: Final = {"binance": 880_000, "kraken": 1_520_000, "coinbase": 1_400_000}
"""The mean time between two orders on an exchange."""

_LEVEL: Final = 19


def sample() -> list[Sent]:
    """All frames in the order they were received."""
    sent = [*_binance(), *_usdm(), *_kraken(), *_kraken_v1(), *_coinbase(), *_coinbase_exchange()]
    # Within a connection frames of one instant keep their order.
    return sorted(sent, key=lambda one: one.recv_us)


def trades(among: Sequence[Market]) -> Iterator[Iterable[Trade]]:
    """The trades of each market."""
    seconds = (END_US - EARLIER_US) // SECOND_US + 1
    paths = {m.base: market.Path(SEED, m.base, EARLIER_US, seconds) for m in among}
    for one in among:
        yield market.trades(one, paths[one.base], EARLIER_US, END_US, SEED)


def _published(feed: Feed, markets: Iterable[Iterable[Trade]], name: str) -> list[Published]:
    rng = generator(SEED, f"published {name}")
    return connections.publish(feed, markets, START_US, END_US, rng)


def _carried(
    new_feed: Callable[[], Feed],
    name: str,
    published: Sequence[Published],
    spans: Sequence[tuple[int, int]],
) -> Iterator[Sent]:
    rng = generator(SEED, f"carried {name}")
    return connections.carry(new_feed, Line(name, spans), published, rng)


def _binance() -> Iterator[Sent]:
    spot = catalog.spot_binance(_ORDER_US["binance"])
    asides = (control.binance_book_ticker, control.binance_kline, control.binance_depth)
    for shard in (0, 1):
        among = spot[shard::2]
        all_trades = (
            faults.without(some, *HOLE[1:]) if one.native == HOLE[0] else some
            for one, some in zip(among, trades(among), strict=True)
        )
        published = _published(BinanceSpot(), all_trades, f"binance-{shard}")
        # A rotation: for some seconds the old and the new connection both deliver.
        new_us = START_US + (97 + 40 * shard) * MINUTE_US
        for name, begin_us, end_us in (
            (f"binance-{shard}", START_US, new_us + 40 * SECOND_US),
            (f"binance-{shard + 2}", new_us, END_US),
        ):
            sent = _carried(BinanceSpot, name, published, [(begin_us, end_us)])
            sent = faults.twice(sent, 2_000, generator(SEED, f"twice {name}"))
            sent = connections.aside(sent, 900, asides)
            last = name == "binance-3"
            yield from faults.broken(sent, 1_100, faults.BINANCE) if last else sent


def _usdm() -> Iterator[Sent]:
    name = "binance_usdm-0"
    published = _published(BinanceUsdm(), trades([catalog.USDM_BTC]), name)
    yield from _carried(BinanceUsdm, name, published, [(START_US, END_US)])


def _kraken() -> Iterator[Sent]:
    spot = catalog.spot_kraken(_ORDER_US["kraken"])
    for shard, outages in enumerate([[(70, 9), (231, 25)], [(155, 14)]]):
        name = f"kraken-{shard}"
        published = _published(KrakenV2(), trades(spot[shard::2]), name)
        sent = _carried(KrakenV2, name, published, connections.spans(START_US, END_US, outages))
        rng = generator(SEED, f"spoiled {name}")
        sent = faults.spoiled(sent, lambda trade: frames.kraken_v2([trade]), 900, rng)
        yield from sent if shard else faults.broken(sent, 1_700, faults.KRAKEN)


def _kraken_v1() -> Iterator[Sent]:
    name = "kraken-v1-0"
    published = _published(KrakenV1(), trades([catalog.KRAKEN_EUR]), name)
    yield from _carried(KrakenV1, name, published, [(START_US, END_US)])


def _coinbase() -> Iterator[Sent]:
    spot = catalog.spot_coinbase(_ORDER_US["coinbase"])
    for shard, outages in enumerate([[(118, 11)], [(204, 8)]]):
        name = f"coinbase-{shard}"
        published = _published(AdvancedTrade(), trades(spot[shard::2]), name)
        sent = _carried(
            AdvancedTrade, name, published, connections.spans(START_US, END_US, outages)
        )
        rng = generator(SEED, f"spoiled {name}")
        sent = faults.spoiled(
            sent, lambda trade: frames.coinbase_advanced([trade], trade.time_us, 0), 1_300, rng
        )
        yield from faults.broken(sent, 1_900, faults.COINBASE) if shard else sent


def _coinbase_exchange() -> Iterator[Sent]:
    name = "coinbase-exchange-0"
    published = _published(CoinbaseExchange(), trades([catalog.COINBASE_CROSS]), name)
    spans = connections.spans(START_US, END_US, [(183, 30)])
    yield from _carried(CoinbaseExchange, name, published, spans)


def lines(sent: Sequence[Sent]) -> Iterator[str]:
    """The lines of a frame log."""
    seqs: dict[str, int] = {}
    for one in sent:
        seq = seqs[one.connection] = seqs.get(one.connection, -1) + 1
        yield frame_log.write(one.recv_us * 1000, one.exchange, one.connection, seq, one.text)


def manifest(sent: Sequence[Sent]) -> dict[str, Any]:
    """The seed and what was put in, counted without reading a frame."""
    return {"seed": SEED, **counted(sent)}


def write(log: Path = SAMPLE, counts: Path = MANIFEST) -> None:
    """Write the log and its manifest."""
    sent = sample()
    text = "".join(lines(sent)).encode()
    log.write_bytes(zstandard.ZstdCompressor(level=_LEVEL).compress(text))
    counts.write_text(json.dumps(manifest(sent), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
