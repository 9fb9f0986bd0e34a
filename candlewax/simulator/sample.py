"""The bundled sample: some hours of three exchanges, made from a seed.

    python -m candlewax.simulator.sample

writes it anew, with a manifest that counts what was put in.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, Final

import zstandard

from candlewax import framelog
from candlewax.data import MANIFEST, SAMPLE
from candlewax.simulator import control, frames, market, markets, sessions
from candlewax.simulator.market import Market, Trade
from candlewax.simulator.numbers import generator, one_in
from candlewax.simulator.sessions import MINUTE_US, SECOND_US, Sent

SEED: Final = 20_260_914
START_US: Final = 1_789_421_400 * SECOND_US
"""2026-09-14 21:30 UTC."""

LENGTH_US: Final = 280 * MINUTE_US
END_US: Final = START_US + LENGTH_US

HOLE: Final = ("LINKUSDT", 400, 7)
"""A market, and which of its trades never came: from this one on, so many."""

_ORDER_US: Final = {"binance": 880_000, "kraken": 1_520_000, "coinbase": 1_400_000}
_LEVEL: Final = 19


def sample() -> list[Sent]:
    """All frames in the order they were received."""
    lines = chain(_binance(), _usdm(), _kraken(), _kraken_v1(), _coinbase(), _coinbase_exchange())
    # Within a connection frames of one instant keep their order.
    return sorted(lines, key=lambda sent: sent.recv_us)


def _trades(among: Sequence[Market]) -> Iterator[Trade]:
    seconds = LENGTH_US // SECOND_US + 1
    paths = {m.base: market.Path(SEED, m.base, START_US, seconds) for m in among}
    return market.together(market.trades(m, paths[m.base], START_US, END_US, SEED) for m in among)


def _binance() -> Iterator[Sent]:
    spot = markets.spot_binance(_ORDER_US["binance"])
    for number in (0, 1):
        connection = f"binance-{number}"
        rng = generator(SEED, connection)
        trades = [t for t in _trades(spot[number::2]) if not _in_hole(t)]
        sent = list(
            sessions.carry(
                trades, "binance", connection, lambda t: frames.binance(t[0]), rng, single=True
            )
        )
        yield from sent
        yield from sessions.openings(sent, START_US - SECOND_US)
        # A rotation: for some seconds the old and the new connection both deliver.
        begin = START_US + (97 + 40 * number) * MINUTE_US
        yield from sessions.beside(sent, f"binance-{number + 2}", begin, begin + 40 * SECOND_US)
        if number == 0:
            yield from sessions.broken(
                next(s for s in sent if s.recv_us > START_US + LENGTH_US // 3)
            )
            for minute in range(0, 280, 20):
                at = START_US + minute * MINUTE_US
                text = control.binance_kline("BTCUSDT", at, "71240.55000000")
                yield Sent(at + 2 * SECOND_US, "binance", connection, text)


def _in_hole(trade: Trade) -> bool:
    native, first, count = HOLE
    place = trade.trade_id - trade.market.first_id
    return trade.market.native == native and first <= place < first + count


def _usdm() -> Iterator[Sent]:
    sent = list(
        sessions.carry(
            _trades([markets.USDM_BTC]),
            "binance_usdm",
            "binance_usdm-0",
            lambda t: frames.binance_usdm(t[0]),
            generator(SEED, "binance_usdm-0"),
            single=True,
        )
    )
    yield from sessions.openings(sent, START_US - SECOND_US)
    yield from sent


def _kraken() -> Iterator[Sent]:
    rng = generator(SEED, "kraken-0")
    among = markets.spot_kraken(_ORDER_US["kraken"])
    sent = list(
        sessions.carry(_trades(among), "kraken", "kraken-0", frames.kraken_v2, rng, single=False)
    )
    yield from sessions.openings(sent, START_US - SECOND_US)
    for one in sent:
        yield sessions.with_bad_trade(one) if one_in(rng, 5_000) else one
    for minute in (70, 155, 231):
        at = START_US + minute * MINUTE_US
        again = sessions.snapshot(sent, at, lambda t: frames.kraken_v2(t, "snapshot"), 50)
        if again:
            yield from sessions.openings(sent, at - SECOND_US)
            yield again
    yield from sessions.heartbeats(
        "kraken", "kraken-0", lambda *_: control.KRAKEN_HEARTBEAT, START_US, END_US
    )


def _kraken_v1() -> Iterator[Sent]:
    connection = "kraken-v1-0"
    native = markets.KRAKEN_EUR.native
    yield Sent(START_US - SECOND_US, "kraken", connection, control.kraken_v1_ack(native))
    yield from sessions.carry(
        _trades([markets.KRAKEN_EUR]),
        "kraken",
        connection,
        frames.kraken_v1,
        generator(SEED, connection),
        single=False,
    )
    yield from sessions.heartbeats(
        "kraken", connection, lambda *_: control.KRAKEN_V1_HEARTBEAT, START_US + SECOND_US, END_US
    )


def _coinbase() -> Iterator[Sent]:
    among = markets.spot_coinbase(_ORDER_US["coinbase"])

    def write(trades: Sequence[Trade], kind: str = "update") -> str:
        return frames.coinbase_advanced(trades, trades[-1].trade_id % 100_000, kind)

    rng = generator(SEED, "coinbase-0")
    sent = list(sessions.carry(_trades(among), "coinbase", "coinbase-0", write, rng, single=False))
    yield from sessions.openings(sent, START_US - SECOND_US)
    yield from sent
    for minute in (118, 204):
        at = START_US + minute * MINUTE_US
        again = sessions.snapshot(sent, at, lambda t: write(t, "snapshot"), 80)
        if again:
            yield from sessions.openings(sent, at - SECOND_US)
            yield again
    yield from sessions.heartbeats(
        "coinbase", "coinbase-0", control.coinbase_heartbeat, START_US, END_US
    )


def _coinbase_exchange() -> Iterator[Sent]:
    connection = "coinbase-exchange-0"
    product = markets.COINBASE_CROSS.native
    text = control.coinbase_exchange_subscriptions(product)
    yield Sent(START_US - SECOND_US, "coinbase", connection, text)
    yield from sessions.carry(
        _trades([markets.COINBASE_CROSS]),
        "coinbase",
        connection,
        lambda t: frames.coinbase_match(t[0]),
        generator(SEED, connection),
        single=True,
    )


def lines(sent: Sequence[Sent]) -> Iterator[str]:
    """The lines of a frame log."""
    seqs: Counter[str] = Counter()
    for one in sent:
        seq = seqs[one.connection]
        seqs[one.connection] += 1
        yield framelog.write(one.recv_us * 1000, one.exchange, one.connection, seq, one.text)


def manifest(sent: Sequence[Sent]) -> dict[str, Any]:
    """What was put in, counted from the market and not by reading frames."""
    exchanges: defaultdict[str, Counter[str]] = defaultdict(Counter)
    traded: dict[tuple[str, str, Any], Trade] = {}
    for one in sent:
        counts = exchanges[one.exchange]
        counts["frames"] += 1
        counts["control_frames"] += not (one.trades or one.dead)
        counts["dead_frames"] += one.dead
        counts["bad_trades_in_good_frames"] += one.bad
        counts["trades"] += len(one.trades)
        for trade in one.trades:
            key = (one.exchange, trade.market.symbol, trade.trade_id)
            counts["distinct_trades"] += key not in traded
            traded[key] = trade
    volumes: defaultdict[str, Decimal] = defaultdict(Decimal)
    numbers: Counter[str] = Counter()
    for (exchange, symbol, _), trade in traded.items():
        volumes[f"{exchange} {symbol}"] += Decimal(frames.quantity(trade))
        numbers[f"{exchange} {symbol}"] += 1
    return {
        "seed": SEED,
        "exchanges": {
            name: dict(sorted(counts.items())) for name, counts in sorted(exchanges.items())
        },
        "markets": {
            name: {"trades": numbers[name], "volume": str(volumes[name])}
            for name in sorted(volumes)
        },
        "hole": {"exchange": "binance", "symbol": "LINK/USDT", "missing": HOLE[2]},
    }


def write(log: Path = SAMPLE, counts: Path = MANIFEST) -> None:
    """Write the log and its manifest."""
    sent = sample()
    text = "".join(lines(sent)).encode()
    log.write_bytes(zstandard.ZstdCompressor(level=_LEVEL).compress(text))
    counts.write_text(json.dumps(manifest(sent), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
