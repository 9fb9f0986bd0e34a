"""Missing trades are requested by REST; unavailable ones are given up with a reason."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from bytewax.testing import run_main

from candlewax.clickhouse.client import Database
from candlewax.core.gaps.fill_plan import RETRY_PREFIX
from candlewax.core.schema import FRAMES, TRADES
from candlewax.core.trades.decode import decode
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.rest import Cursor
from candlewax.feeds.rest.client import Client, RetryPolicy
from candlewax.feeds.rest.gap_fill import GapFillSource
from candlewax.feeds.rest.gap_filler import MAX_UNREADABLE_FILLS
from candlewax.pipeline import builder
from candlewax.runtime.counters import Counters
from candlewax.verification.verify import check_totals, verify
from dataflows import ohlcv
from tests.support.kafka.reading import until
from tests.support.mending import (
    QUICK,
    asked,
    gaps,
    hear,
    heard,
    markets,
    mend,
    numbers,
    played,
    stored,
)
from tests.support.playing import INSTRUMENTS

pytestmark = pytest.mark.slow("each test runs the whole pipeline", seconds=25)

EVERY = ["binance", "binance_usdm", "kraken", "coinbase"]

HASTE = RetryPolicy(first_backoff_s=0.01, max_backoff_s=0.05)


def one_in(count: int) -> Any:
    """All trades are received but one in so many."""
    return lambda place, _: place % count != count // 2


@pytest.mark.parametrize("exchange", EVERY)
def test_trade_is_the_same_by_rest_and_by_websocket(exchange: str) -> None:
    """Each trade of each market, in all fields that candles use."""
    same = [name for name in TRADES if name not in {"received_at", "source", "source_partition",
            "source_offset", "source_index", "via"}]  # fmt: skip
    with played() as (simulator, _):
        (endpoint,) = asked(simulator, exchange).values()
        client, rows = Client(endpoint.rest, endpoint.url, endpoint.key), []
        for native in markets(simulator, exchange):
            place = Cursor(0, 0)
            if exchange == "coinbase":
                place = Cursor(markets(simulator, exchange)[native][0].trade_id)
            answer = client.ask(endpoint.rest.trades_path(native, place, endpoint.rest.page_rows))
            rows.append((answer.received_ns, f"rest/{native}", 0, answer.text))
        answers = [
            trade
            for trades in markets(simulator, exchange).values()
            for trade in trades[: endpoint.rest.page_rows]
            if not trade.condition
        ]
    asking = decode(
        EXCHANGES[exchange], pl.DataFrame(rows, schema=FRAMES, orient="row"), INSTRUMENTS
    )
    by_websocket = decode(EXCHANGES[exchange], heard(answers).frames, INSTRUMENTS)
    assert asking.dead_letters.is_empty()
    assert by_websocket.trades.height == len(answers)
    both = [
        read.trades.select(same).sort("native_symbol", "sequence")
        for read in (asking, by_websocket)
    ]
    assert both[0].equals(both[1])
    assert set(asking.trades["via"]) == {2}


# The others are filled in `test_proof.py`, where candles are compared, too.
@pytest.mark.parametrize("exchange", ["binance_usdm", "coinbase"])
def test_repair_stores_all_missing_trades(tables: Database, exchange: str) -> None:
    """All trades between received ones are stored, with their candles."""
    with played(1500) as (simulator, _):
        between = hear(tables, simulator, exchange, one_in(20))
        before = gaps(tables)
        assert {gap["state"] for gap in before} == {"open"}
        counters = mend(tables, asked(simulator, exchange))
        requests = simulator.rest_requests
    # Binance shows no futures trades that carry a condition.
    hidden = {trade for trade in between if trade.condition}
    unfilled = [gap for gap in gaps(tables) if gap["state"] != "repaired"]
    assert len(unfilled) == sum(gap["missing"] for gap in unfilled) <= len(hidden)
    assert all(gap["state"] == "unrepairable" for gap in unfilled)
    stored_ = stored(tables, exchange)
    absent = numbers(between) - stored_.keys()
    assert len(absent) == len(unfilled)
    assert absent <= numbers(hidden)
    ways = [stored_[trade] for trade in numbers(between) - absent]
    assert ways.count("rest") == sum(gap["count"] for gap in before) - len(unfilled)
    assert counters.total("rest", exchange, "answered") == requests
    # Neighbours share a request; what is missing in it is asked for twice.
    assert requests <= len(markets(simulator, exchange)) + 2 * len(unfilled)
    client = tables.client
    assert verify(client).equal
    assert not check_totals(client)


def test_gap_of_a_failing_exchange_stays_with_its_reason_and_is_filled_later(
    tables: Database,
) -> None:
    """With a count of its attempts. It is filled once REST answers again."""
    with played(fail=1) as (simulator, _):
        between = hear(tables, simulator, "kraken", one_in(20))
        count = len(gaps(tables))
        mend(tables, asked(simulator, "kraken"), patience=HASTE)
        assert simulator.rest_requests == QUICK.tries
        gaps_ = gaps(tables)
        assert len(gaps_) == count
        assert {(gap["state"], gap["reason"]) for gap in gaps_} == {("repairing", "status 503")}
        assert {gap["attempts"] for gap in gaps_} <= {1, 2, 3}
        simulator.fail_rate = 0
        mend(tables, asked(simulator, "kraken"))
    assert {gap["state"] for gap in gaps(tables)} == {"repaired"}
    assert stored(tables, "kraken").keys() >= numbers(between)


def test_rate_limited_repair_waits_and_loses_nothing(tables: Database) -> None:
    """All trades are stored after two refusals."""
    with played() as (simulator, run):

        async def limit() -> None:
            simulator.limit(2)

        hear(tables, simulator, "kraken", one_in(20))
        run(limit())
        counters = mend(tables, asked(simulator, "kraken"), patience=HASTE)
    assert counters.total("rest", "kraken", "refused") == 2
    assert {gap["state"] for gap in gaps(tables)} == {"repaired"}


def test_gap_older_than_the_exchange_shows_is_given_up_once(tables: Database) -> None:
    """With the reason; it is not requested again."""
    with played(oldest=5) as (simulator, _):
        hear(tables, simulator, "binance", lambda place, _: place != 3)
        gaps_ = gaps(tables)
        mend(tables, asked(simulator, "binance"))
        requests = simulator.rest_requests
        assert requests
        mend(tables, asked(simulator, "binance"))
        assert simulator.rest_requests == requests
    after = gaps(tables)
    assert len(after) == len(gaps_)
    old = [gap for gap in after if gap["state"] == "unrepairable"]
    assert old
    assert all(gap["reason"].startswith("too old: the exchange shows trades from") for gap in old)
    assert {gap["state"] for gap in after} <= {"unrepairable", "repaired"}


def test_gap_is_not_given_up_after_one_answer(tables: Database) -> None:
    """It is requested once more after a pause, by the next process too, and then stored."""
    patient = replace(QUICK, confirm_s=3_600.0)
    with played(oldest=5) as (simulator, _):
        hear(tables, simulator, "binance", lambda place, _: place != 3)
        for _run in range(2):
            mend(tables, asked(simulator, "binance"), patient)
            requests = simulator.rest_requests
        lacking = [gap for gap in gaps(tables) if gap["state"] == "repairing"]
        assert lacking
        assert all(gap["reason"].startswith(f"{RETRY_PREFIX}too old") for gap in lacking)
        assert {gap["attempts"] for gap in lacking} == {1}
    with played() as (simulator, _):
        mend(tables, asked(simulator, "binance"))
    assert requests
    assert {gap["state"] for gap in gaps(tables)} == {"repaired"}


def test_gap_of_a_delisted_market_is_given_up_with_its_reason(tables: Database) -> None:
    """With the message of the exchange; gaps of other markets are filled."""
    with played(refuse=("BTC-USD",)) as (simulator, _):
        hear(tables, simulator, "coinbase", one_in(20))
        mend(tables, asked(simulator, "coinbase"))
    states = {(gap["symbol"] == "BTC/USD", gap["state"]) for gap in gaps(tables)}
    assert states == {(True, "unrepairable"), (False, "repaired")}
    (reason,) = {gap["reason"] for gap in gaps(tables) if gap["symbol"] == "BTC/USD"}
    assert "NotFound" in reason


def test_gap_with_unreadable_answers_is_given_up_after_some(tables: Database) -> None:
    """After some unreadable answers it is not requested again."""
    with played() as (simulator, _):
        two = ("BTCUSDT", "ETHUSDT")
        hear(
            tables,
            simulator,
            "binance",
            lambda n, trade: n != 3 or trade.market.native_symbol not in two,
        )
        assert len(gaps(tables)) == len(two)
        source = GapFillSource(asked(simulator, "binance"), tables, Counters(), timing=QUICK)
        part = source.build_part("", "binance", None)

        def given_up() -> bool:
            # Taken, and lost.
            part.next_batch()
            return {gap["state"] for gap in gaps(tables)} == {"unrepairable"}

        until(given_up, seconds=120)
        requests = simulator.rest_requests
        part.close()
    gaps_ = gaps(tables)
    assert {gap["attempts"] for gap in gaps_} == {MAX_UNREADABLE_FILLS}
    assert all("came and were not stored, see dead_letters" in gap["reason"] for gap in gaps_)
    assert requests == len(two) * MAX_UNREADABLE_FILLS


def test_gap_of_millions_is_not_requested(tables: Database) -> None:
    """Its reason says so."""
    with played() as (simulator, _):
        hear(tables, simulator, "kraken", lambda place, _: place < 2)
        far = next(iter(markets(simulator, "kraken").values()))[2]
        far = far._replace(trade_id=far.trade_id + 5_000_000)
        feed: Any = [heard([far])]
        run(tables, feed)
        mend(tables, asked(simulator, "kraken"))
        assert simulator.rest_requests == 0
    (gap,) = gaps(tables)
    assert (gap["state"], gap["missing"]) == ("unrepairable", 5_000_000)
    assert gap["reason"].startswith("too long: 5,000,000 numbers")


def run(tables: Database, items: list[Any]) -> None:
    """Store some frames."""
    from bytewax.testing import TestingSource  # noqa: PLC0415

    feed: Any = TestingSource(items)
    run_main(
        ohlcv.build(
            builder.build_components(feed, INSTRUMENTS, INSTRUMENTS.exchanges, tables, Counters())
        )
    )


def test_futures_gap_older_than_the_newest_trades_waits_for_a_key(tables: Database) -> None:
    """Its reason names the key. With the key it is filled."""
    with played(40_000) as (simulator, _):
        (trades,) = markets(simulator, "binance_usdm").values()
        plain = [n for n, trade in enumerate(trades) if not trade.condition]
        old, new = plain[5], plain[-5]
        assert len(plain) > 1010
        hear(tables, simulator, "binance_usdm", lambda place, _: place not in (old, new))
        mend(tables, asked(simulator, "binance_usdm", key=None))
        first, second = gaps(tables)
        assert (first["state"], second["state"]) == ("repairing", "repaired")
        assert "CANDLEWAX_BINANCE_USDM_KEY" in first["reason"]
        mend(tables, asked(simulator, "binance_usdm"))
    assert {gap["state"] for gap in gaps(tables)} == {"repaired"}
