"""Certificates of candles, through the whole pipeline into real tables."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bytewax.testing import TestingSource
from hypothesis import given
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from tests.dataflows.test_unseen import KINDS, feed
from tests.support import oracle
from tests.support.candles import DAY
from tests.support.crashing import stores
from tests.support.examples import examples
from tests.support.markets import CUTS
from tests.support.oracle import Fill
from tests.support.playing import Frame, all_fills, binance, clear, kraken_v1, play, received
from tests.support.stored import certificates, check, check_revisions

pytestmark = pytest.mark.slow("each example runs the whole pipeline", seconds=9)

SECOND = 1_000_000

LATER = DAY + 5 * 86_400 * SECOND
"""When all was received."""


def fills(*numbered: tuple[int, float], symbol: str = "BTC/USDT") -> list[Fill]:
    """Trades of Binance by number and second of the day."""
    return [
        Fill("binance", symbol, str(n), n, DAY + int(second * SECOND), True, Decimal(n), Decimal(1))
        for n, second in numbered
    ]


def frames(trades: Sequence[Fill], seq: int = 0) -> list[Frame]:
    """Return a frame of each trade, in order of receipt."""
    return [binance(seq + n, LATER + seq + n, fill) for n, fill in enumerate(trades)]


def run(tables: Database, *batches: Sequence[Fill]) -> None:
    """Play batches one after another, and compare the tables with the oracle."""
    seq = 0
    frames_: list[Frame] = []
    cuts = []
    for batch in batches:
        frames_ += frames(batch, seq)
        seq = len(frames_)
        cuts.append(seq)
    play(received(frames_, cuts[:-1]), tables)
    check(frames_, tables)


def certificate(tables: Database, timeframe: str, second: int = 0) -> tuple[Any, ...]:
    """Return status, missing and revision of the Bitcoin candle from a second of the day."""
    row = certificates(tables)[timeframe, "binance", "BTC/USDT", DAY // SECOND + second]
    return row["status"], row["missing"], row["revision"]


def versions(tables: Database, second: int = 0) -> list[tuple[Any, ...]]:
    """Return all versions of the minute that begins at a second of the day."""
    return tables.query(
        """
        SELECT toString(cause) AS cause, trade_count, missing, toString(status) AS status
        FROM ohlcv_revisions FINAL
        WHERE timeframe = '1m' AND symbol = 'BTC/USDT'
            AND window_start = fromUnixTimestamp({start:UInt32})
        ORDER BY known_at
        """,
        {"start": DAY // SECOND + second},
    ).rows()


def test_candle_without_missing_numbers_is_complete(tables: Database) -> None:
    """From the first trade of the market on."""
    run(tables, fills((1, 1), (2, 30), (3, 61), (4, 119), (5, 182)))
    assert certificate(tables, "1m") == certificate(tables, "1m", 60) == ("complete", 0, 0)
    assert certificate(tables, "1h") == ("forming", 0, 0)
    rows = tables.query("SELECT toString(status), count() FROM ohlcv_1m_trusted GROUP BY 1").rows()
    assert rows == [("complete", 2)]


def test_candle_in_which_the_feed_begins_is_partial(tables: Database) -> None:
    """In each timeframe, as earlier trades are unknown."""
    run(tables, fills((7, 1), (8, 61), (9, 122), (10, 86_402)))
    assert certificate(tables, "1m") == certificate(tables, "1d") == ("partial", 0, 0)
    assert certificate(tables, "1m", 60) == ("complete", 0, 0)


def test_missing_range_inside_a_minute_counts_in_all_its_timeframes(tables: Database) -> None:
    """It does not count in the next minute."""
    run(tables, fills((1, 1), (4, 30), (5, 61), (6, 86_402)))
    for timeframe in oracle.LENGTHS:
        assert certificate(tables, timeframe) == ("gaps", 2, 0)
    assert certificate(tables, "1m", 60) == ("complete", 0, 0)


@pytest.mark.parametrize("length", [60, 3600, 86_400])
def test_missing_range_across_a_boundary_counts_on_both_sides(
    tables: Database, length: int
) -> None:
    """Of a minute, an hour and a day, as the times of the missing trades are unknown."""
    run(tables, fills((1, length - 1), (3, length), (4, length + 62), (5, 2 * 86_400 + 2)))
    names = {60: ["1m"], 3600: ["1m", "1h"], 86_400: list(oracle.LENGTHS)}[length]
    for timeframe in names:
        before = length - oracle.LENGTHS[timeframe]
        assert certificate(tables, timeframe, before) == ("gaps", 1, 0)
        assert certificate(tables, timeframe, length) == ("gaps", 1, 0)


def test_missing_range_found_later_changes_a_closed_candle(tables: Database) -> None:
    """Trades of another market closed it; the next trade of its own market shows the range."""
    run(
        tables,
        fills((1, 5)),
        fills((1, 70), symbol="ETH/USDT"),
        fills((4, 80)),
    )
    assert certificate(tables, "1m") == ("gaps", 2, 0)
    assert versions(tables) == [("closed", 1, 0, "complete"), ("late", 1, 2, "gaps")]


def test_candle_is_complete_once_its_missing_trades_are_received(tables: Database) -> None:
    """Its revision counts the late trades, and its versions are kept."""
    run(tables, fills((1, 5), (4, 30)), fills((5, 70)), fills((2, 10), (3, 20)))
    assert certificate(tables, "1m") == ("complete", 0, 2)
    assert versions(tables) == [("closed", 2, 2, "gaps"), ("late", 4, 0, "complete")]


def test_candle_whose_gap_is_filled_elsewhere_is_certified_again(tables: Database) -> None:
    """The missing trade belongs to the next candle."""
    run(
        tables,
        fills((1, 5)),
        fills((1, 70), symbol="ETH/USDT"),
        fills((3, 90)),
        fills((2, 80)),
    )
    assert certificate(tables, "1m") == ("complete", 0, 0)
    assert versions(tables) == [
        ("closed", 1, 0, "complete"),
        ("late", 1, 1, "gaps"),
        ("repaired", 1, 0, "complete"),
    ]


def test_candle_dropped_from_memory_is_certified_again(tables: Database) -> None:
    """If the missing trades are its own or those of its neighbour."""
    run(tables, fills((1, 5), (3, 80)), fills((4, 4000)), fills((2, 70)))
    assert certificate(tables, "1m") == ("complete", 0, 0)
    assert certificate(tables, "1m", 60) == ("complete", 0, 1)
    assert versions(tables)[-1] == ("repaired", 1, 0, "complete")
    assert versions(tables, 60)[-1] == ("late", 2, 0, "complete")


def test_view_as_of_a_time_shows_the_candle_known_then(tables: Database) -> None:
    """Before a change and after it."""
    run(tables, fills((1, 5), (4, 30)), fills((5, 70)), fills((2, 10)))
    times = tables.query(
        "SELECT DISTINCT known_at FROM ohlcv_revisions FINAL WHERE timeframe = '1m' "
        "ORDER BY known_at"
    )["known_at"].to_list()
    # Two versions were stored, so there are two moments.
    first, last = times
    versions_seen = [
        tables.query(
            "SELECT trade_count, missing, revision FROM ohlcv_as_of(t = {t:DateTime64(6, 'UTC')}) "
            "WHERE timeframe = '1m'",
            {"t": moment},
        ).rows()
        for moment in (first.replace(year=2000), first, last)
    ]
    assert versions_seen == [[], [(2, 2, 0)], [(3, 1, 1)]]


def test_candle_of_unnumbered_trades_is_unverified(tables: Database) -> None:
    """Without numbers, missing trades cannot be found."""
    trade = Fill("kraken", "BTC/USD", "", 0, DAY + SECOND, True, Decimal(1), Decimal(1))
    frames_ = [
        kraken_v1(n, LATER + n, [replace(trade, time=DAY + n * 61 * SECOND)]) for n in range(3)
    ]
    play(received(frames_), tables)
    check(frames_, tables)
    statuses = {c["status"] for w, c in certificates(tables).items() if w[0] == "1m"}
    assert statuses == {"unverified", "forming"}
    assert tables.query("SELECT count() FROM ohlcv_1m_trusted").item() == 0


def test_trades_outside_candles_are_not_missing(tables: Database) -> None:
    """They have numbers like other trades."""
    text = (
        '{{"e":"trade","E":1,"T":{time},"s":"BTCUSDT","t":{number},"p":"1","q":"1","X":"{kind}",'
        '"m":true}}'
    )
    frames_ = []
    for number, (second, kind) in enumerate(
        [(1, "MARKET"), (2, "ADL"), (3, "MARKET"), (70, "MARKET")], 1
    ):
        time = DAY + second * SECOND
        conditions = () if kind == "MARKET" else (kind,)
        fill = Fill("binance_usdm", "BTC/USDT:USDT", str(number), number, time, False, Decimal(1),
                    Decimal(1), conditions, offset=number)  # fmt: skip
        frame = text.format(time=time // 1000, number=number, kind=kind)
        frames_.append(Frame("binance_usdm", "b0", number, LATER + number, frame, (fill,)))
    play(received(frames_), tables)
    check(frames_, tables)
    row = certificates(tables)["1m", "binance_usdm", "BTC/USDT:USDT", DAY // SECOND]
    assert (row["status"], row["missing"]) == ("complete", 0)


@pytest.mark.parametrize("number", [3, 4])
def test_restarted_process_finds_numbers_missing_across_its_start(
    tables: Database, number: int
) -> None:
    """It loads the last number from the tables."""
    first, second = fills((1, 5), (2, 20)), fills((number, 40), (number + 1, 70))
    play(received(frames(first)), tables)
    play(received(frames(second, 2)), tables)
    check(frames(first) + frames(second, 2), tables)
    assert certificate(tables, "1m") == (("complete", 0, 0) if number == 3 else ("gaps", 1, 0))


@pytest.mark.parametrize("recovering", [True, False])
@given(kinds=KINDS, cuts=CUTS, place=st.integers(0, 6))
@examples(4)
def test_certificates_count_outages_for_any_batches_and_restarts(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    kinds: list[str],
    cuts: list[int],
    place: int,
    recovering: bool,
) -> None:
    """In each window, also if a process reads the events again."""
    clear(tables)
    frames_, outages = feed(["up", "trade", *kinds, "up", "trade"])
    frames_ = [replace(frame, fills=_trades_of(frame)) for frame in frames_]
    items: list[object] = list(received(frames_, cuts))
    if recovering:
        folder: Path | None = stores(tmp_path_factory)
        items.insert(min(place, len(items)), TestingSource.ABORT())
        play(items, tables, folder)
        play(items, tables, folder)
    else:
        play(items[: place + 1], tables)
        play(items[max(0, place - 1) :], tables)
    expected = oracle.certificates(all_fills(frames_), {"binance": outages})
    assert certificates(tables) == expected
    check_revisions(tables)


def _trades_of(frame: Frame) -> tuple[Fill, ...]:
    """Return the trades of a frame of `feed`, timed at its receipt."""
    if '"trade"' not in frame.text:
        return ()
    number, time = frame.seq + 1, frame.recv_us // 1000 * 1000
    fill = Fill("binance", "BTC/USDT", str(number), number, time, False, Decimal(1), Decimal(1))
    return (replace(fill, offset=frame.seq),)
