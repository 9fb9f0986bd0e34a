"""Bundled sample: some hours of three exchanges, made from a seed.

python -m candlewax.simulator.recording.sample

writes it again, with a manifest of its counts. Binance includes one futures market, whose trades
may carry conditions. Kraken and Coinbase each include one market on their older protocol.
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
from candlewax.simulator.recording.connections import Published, ReceivedFrame, RecordedConnection
from candlewax.simulator.recording.manifest import count_frames

SEED: Final = 20_260_914
START_US: Final = 1_789_421_400 * SECOND_US
"""2026-09-14 21:30 UTC, when recording begins."""

END_US: Final = START_US + 280 * MINUTE_US
EARLIER_US: Final = START_US - 40 * MINUTE_US
"""Start of the trades, so that exchanges can show past ones to a new subscriber."""

HOLE: Final = ("LINKUSDT", 700, 7)
"""Market with missing trades: index of the first, and how many."""

_ORDER_US: Final = {"binance": 880_000, "kraken": 1_520_000, "coinbase": 1_400_000}
"""Mean time between two orders at an exchange."""

_LEVEL: Final = 19


def sample() -> list[ReceivedFrame]:
    """Return all frames in the order they were received."""
    sent = [*_binance(), *_usdm(), *_kraken(), *_kraken_v1(), *_coinbase(), *_coinbase_exchange()]
    # A stable sort: frames of one connection keep their order within an instant.
    return sorted(sent, key=lambda frame: frame.recv_us)


def trades(markets: Sequence[Market]) -> Iterator[Iterable[Trade]]:
    """Return the trades of each market."""
    seconds = (END_US - EARLIER_US) // SECOND_US + 1
    paths = {m.base: market.Path(SEED, m.base, EARLIER_US, seconds) for m in markets}
    for m in markets:
        yield market.trades(m, paths[m.base], EARLIER_US, END_US, SEED)


def _published(feed: Feed, markets: Iterable[Iterable[Trade]], name: str) -> list[Published]:
    rng = generator(SEED, f"published {name}")
    return connections.publish(feed, markets, START_US, END_US, rng)


def _receive(
    new_feed: Callable[[], Feed],
    name: str,
    published: Sequence[Published],
    spans: Sequence[tuple[int, int]],
) -> Iterator[ReceivedFrame]:
    rng = generator(SEED, f"carried {name}")
    return connections.receive(new_feed, RecordedConnection(name, spans), published, rng)


def _binance() -> Iterator[ReceivedFrame]:
    spot = catalog.spot_binance(_ORDER_US["binance"])
    control_frames = (control.binance_book_ticker, control.binance_kline, control.binance_depth)
    for shard in (0, 1):
        markets = spot[shard::2]
        all_trades = (
            faults.drop_trades(own, *HOLE[1:]) if m.native_symbol == HOLE[0] else own
            for m, own in zip(markets, trades(markets), strict=True)
        )
        published = _published(BinanceSpot(), all_trades, f"binance-{shard}")
        # Rotation: for 40 seconds the old and the new connection both receive.
        new_us = START_US + (97 + 40 * shard) * MINUTE_US
        for name, begin_us, end_us in (
            (f"binance-{shard}", START_US, new_us + 40 * SECOND_US),
            (f"binance-{shard + 2}", new_us, END_US),
        ):
            sent = _receive(BinanceSpot, name, published, [(begin_us, end_us)])
            sent = faults.repeat_frames(sent, 2_000, generator(SEED, f"twice {name}"))
            sent = connections.insert_control_frames(sent, 900, control_frames)
            is_last = name == "binance-3"
            yield from faults.insert_broken_frames(sent, 1_100, faults.BINANCE) if is_last else sent


def _usdm() -> Iterator[ReceivedFrame]:
    name = "binance_usdm-0"
    published = _published(BinanceUsdm(), trades([catalog.USDM_BTC]), name)
    yield from _receive(BinanceUsdm, name, published, [(START_US, END_US)])


def _kraken() -> Iterator[ReceivedFrame]:
    spot = catalog.spot_kraken(_ORDER_US["kraken"])
    for shard, outages in enumerate([[(70, 9), (231, 25)], [(155, 14)]]):
        name = f"kraken-{shard}"
        published = _published(KrakenV2(), trades(spot[shard::2]), name)
        sent = _receive(KrakenV2, name, published, connections.spans(START_US, END_US, outages))
        rng = generator(SEED, f"spoiled {name}")
        sent = faults.spoil_trades(sent, lambda trade: frames.kraken_v2([trade]), 900, rng)
        yield from sent if shard else faults.insert_broken_frames(sent, 1_700, faults.KRAKEN)


def _kraken_v1() -> Iterator[ReceivedFrame]:
    name = "kraken-v1-0"
    published = _published(KrakenV1(), trades([catalog.KRAKEN_EUR]), name)
    yield from _receive(KrakenV1, name, published, [(START_US, END_US)])


def _coinbase() -> Iterator[ReceivedFrame]:
    spot = catalog.spot_coinbase(_ORDER_US["coinbase"])
    for shard, outages in enumerate([[(118, 11)], [(204, 8)]]):
        name = f"coinbase-{shard}"
        published = _published(AdvancedTrade(), trades(spot[shard::2]), name)
        sent = _receive(
            AdvancedTrade, name, published, connections.spans(START_US, END_US, outages)
        )
        rng = generator(SEED, f"spoiled {name}")
        sent = faults.spoil_trades(
            sent, lambda trade: frames.coinbase_advanced([trade], trade.time_us, 0), 1_300, rng
        )
        yield from faults.insert_broken_frames(sent, 1_900, faults.COINBASE) if shard else sent


def _coinbase_exchange() -> Iterator[ReceivedFrame]:
    name = "coinbase-exchange-0"
    published = _published(CoinbaseExchange(), trades([catalog.COINBASE_CROSS]), name)
    spans = connections.spans(START_US, END_US, [(183, 30)])
    yield from _receive(CoinbaseExchange, name, published, spans)


def lines(sent: Sequence[ReceivedFrame]) -> Iterator[str]:
    """Return the lines of a frame log."""
    seqs: dict[str, int] = {}
    for frame in sent:
        seq = seqs[frame.connection] = seqs.get(frame.connection, -1) + 1
        recv_ns = frame.recv_us * 1000
        yield frame_log.format_line(recv_ns, frame.exchange, frame.connection, seq, frame.text)


def manifest(sent: Sequence[ReceivedFrame]) -> dict[str, Any]:
    """Return the seed and the counts."""
    return {"seed": SEED, **count_frames(sent)}


def write(log_path: Path = SAMPLE, manifest_path: Path = MANIFEST) -> None:
    """Write the frame log and its manifest."""
    sent = sample()
    text = "".join(lines(sent)).encode()
    log_path.write_bytes(zstandard.ZstdCompressor(level=_LEVEL).compress(text))
    manifest_path.write_text(json.dumps(manifest(sent), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
