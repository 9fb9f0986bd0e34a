"""Refused markets: their candles are not complete until a later trade proves them."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from bytewax.recovery import init_db_dir
from hypothesis import example, given
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from candlewax.verification.verify import verify
from tests.support.examples import examples
from tests.support.oracle import LENGTHS, Fill
from tests.support.playing import EPOCH_ZERO, Frame, binance, clear, play, received

pytestmark = pytest.mark.slow("each example runs the whole pipeline", seconds=12)

SECOND = 1_000_000


def at(second: int) -> int:
    """Return a time in microseconds since 1970."""
    return EPOCH_ZERO + second * SECOND


def event(second: int, kind: str, *natives: str) -> Frame:
    """Return a connection event of a feed."""
    content = {"candlewax": kind, "process": "p", "instruments": list(natives)}
    return Frame("binance", "b0", 0, at(second), json.dumps(content, separators=(",", ":")), ())


def trade(symbol: str, number: int, second: int, lag: int = 0) -> Frame:
    """Return a trade received so many seconds after it happened."""
    time = at(second - lag)
    fill = Fill("binance", symbol, str(number), number, time, True, Decimal(5), Decimal(1))
    return binance(0, at(second), fill)


def numbered(frames: list[Frame]) -> list[Frame]:
    """Return the frames in order of receipt, numbered."""
    return [replace(frame, seq=n) for n, frame in enumerate(sorted(frames, key=_moment))]


def _moment(frame: Frame) -> int:
    return frame.recv_us


def scenario(missed: int) -> list[Frame]:
    """Two markets. ETH is refused after a reconnect from second 200 to 400, with so many missed
    trades; BTC continues.
    """
    eth = [*range(0, 190, 10), *range(410, 700, 10)]
    numbers = [n + 1 + (missed if second > 400 else 0) for n, second in enumerate(eth)]
    return numbered(
        [
            event(-1, "connected"),
            event(0, "subscribed", "BTCUSDT", "ETHUSDT"),
            *(trade("BTC/USDT", n + 1, 5 * n) for n in range(140)),
            *(trade("ETH/USDT", n, second) for n, second in zip(numbers, eth, strict=True)),
            event(198, "disconnected"),
            event(200, "connected"),
            event(201, "refused", "ETHUSDT"),
            event(201, "subscribed", "BTCUSDT"),
            event(400, "subscribed", "ETHUSDT"),
        ]
    )


def statuses(tables: Database, symbol: str) -> dict[tuple[str, int], str]:
    """Return the status of each candle of a market, by timeframe and start."""
    rows = tables.query(
        "SELECT toString(timeframe), toUnixTimestamp(window_start), toString(status) "
        f"FROM ohlcv FINAL WHERE symbol = '{symbol}'"
    ).rows()
    return {(timeframe, start): status for timeframe, start, status in rows}


def window(timeframe: str, second: int) -> tuple[str, int]:
    """Return the window of a timeframe that contains a second."""
    length = LENGTHS[timeframe]
    return timeframe, at(second) // SECOND // length * length


def empty(tables: Database) -> None:
    clear(tables)
    for table in ("market_outages", "contradictions", "numberings"):
        tables.client.command(f"TRUNCATE TABLE {table}")


@given(
    missed=st.sampled_from([0, 1, 19]),
    until=st.integers(130, 400),
    cuts=st.lists(st.integers(1, 150), max_size=4),
    recover=st.booleans(),
)
@example(missed=0, until=300, cuts=[30], recover=False)
@example(missed=19, until=390, cuts=[], recover=True)
@examples(3)
def test_candles_of_a_refused_market_are_partial_until_a_later_trade_proves_them(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    missed: int,
    until: int,
    cuts: list[int],
    *,
    recover: bool,
) -> None:
    """For any batches and restarts; candles of the other market do not change."""
    empty(tables)
    frames = scenario(missed)
    store: Path | None = None
    if recover:
        store = tmp_path_factory.mktemp("recovery")
        init_db_dir(store, 1)
    while_refused = [frame for frame in frames if frame.recv_us <= at(until)]
    rest = frames[len(while_refused) :]
    parts = received(while_refused, [cut for cut in cuts if cut < len(while_refused)])
    before = len(parts)
    parts += received(rest)
    play(parts[:before], tables, store)
    status = statuses(tables, "ETH/USDT")
    btc = statuses(tables, "BTC/USDT")
    if until >= 270:
        assert status[window("1m", 185)] == "partial"
        assert btc[window("1m", 185)] == "complete"
        assert "complete" not in {status.get(window(name, 185)) for name in LENGTHS}, status
    assert status[window("1m", 60)] == "complete"
    assert verify(tables.client).equal
    play(parts if recover else parts[before:], tables, store)
    status = statuses(tables, "ETH/USDT")
    assert status[window("1m", 185)] == ("gaps" if missed else "complete")
    rows = tables.query(
        "SELECT symbol, toUnixTimestamp64Micro(began), toUnixTimestamp64Micro(max(ended)) "
        "FROM market_outages GROUP BY symbol, began"
    ).rows()
    assert rows == [("ETH/USDT", at(198), at(400))]
    check = verify(tables.client)
    assert check.equal, check


@pytest.mark.parametrize("lag", [4, 90, 600])
def test_candle_before_the_outage_is_partial_if_trades_are_delayed(
    tables: Database, lag: int
) -> None:
    """The outage begins by our clock, while earlier trades were still on their way."""
    empty(tables)
    frames = numbered(
        [
            event(-1, "connected"),
            event(0, "subscribed", "BTCUSDT", "ETHUSDT"),
            *(trade("BTC/USDT", n + 1, 5 * n, lag) for n in range(80)),
            *(trade("ETH/USDT", n + 1, 10 * n, lag) for n in range(20)),
            event(201, "disconnected"),
            event(202, "connected"),
            event(203, "refused", "ETHUSDT"),
            event(203, "subscribed", "BTCUSDT"),
        ]
    )
    play(received(frames), tables)
    status, last = statuses(tables, "ETH/USDT"), 190 - lag
    assert status[window("1m", last)] == "partial"
    assert status[window("1m", last - 60)] == "complete"
    assert statuses(tables, "BTC/USDT")[window("1m", last)] == "complete"
    assert verify(tables.client).equal


def test_verify_finds_a_complete_candle_of_a_refused_market(
    tables: Database,
) -> None:
    """Whatever process wrote it."""
    empty(tables)
    play(received([frame for frame in scenario(0) if frame.recv_us < at(390)]), tables)
    assert verify(tables.client).equal
    tables.client.command(
        "ALTER TABLE ohlcv UPDATE status = 'complete' WHERE symbol = 'ETH/USDT' "
        "AND status = 'partial' SETTINGS mutations_sync = 1"
    )
    wrong = verify(tables.client).parts["certificates"]
    assert wrong.mismatches > 0
    assert {example["symbol"] for example in wrong.examples} == {"ETH/USDT"}
