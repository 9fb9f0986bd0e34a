"""What nobody heard is asked for by REST, and what is not to be had is named."""

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
from candlewax.feeds.rest.gap_fill import MAX_UNREADABLE_FILLS, GapFillSource
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
    """All trades are heard but one in so many."""
    return lambda place, _: place % count != count // 2


@pytest.mark.parametrize("exchange", EVERY)
def test_trade_is_the_same_by_rest_and_by_websocket(exchange: str) -> None:
    """Every trade of every market, in all that candles are made of."""
    same = [name for name in TRADES if name not in {"received_at", "source", "source_partition",
            "source_offset", "source_index", "via"}]  # fmt: skip
    with played() as (simulator, _):
        (how,) = asked(simulator, exchange).values()
        client, rows = Client(how.rest, how.url, how.key), []
        for native in markets(simulator, exchange):
            place = Cursor(0, 0)
            if exchange == "coinbase":
                place = Cursor(markets(simulator, exchange)[native][0].trade_id)
            answer = client.ask(how.rest.trades_path(native, place, how.rest.page_rows))
            rows.append((answer.received_ns, f"rest/{native}", 0, answer.text))
        shown = [
            trade
            for trades in markets(simulator, exchange).values()
            for trade in trades[: how.rest.page_rows]
            if not trade.condition
        ]
    asking = decode(
        EXCHANGES[exchange], pl.DataFrame(rows, schema=FRAMES, orient="row"), INSTRUMENTS
    )
    hearing = decode(EXCHANGES[exchange], heard(shown).frames, INSTRUMENTS)
    assert asking.dead_letters.is_empty()
    assert hearing.trades.height == len(shown)
    both = [
        read.trades.select(same).sort("native_symbol", "sequence") for read in (asking, hearing)
    ]
    assert both[0].equals(both[1])
    assert set(asking.trades["via"]) == {2}


# The others are filled in `test_proof.py`, where candles are compared, too.
@pytest.mark.parametrize("exchange", ["binance_usdm", "coinbase"])
def test_repair_stores_all_missing_trades(tables: Database, exchange: str) -> None:
    """All trades between those that were heard are stored, and the candles are theirs."""
    with played(1500) as (simulator, _):
        between = hear(tables, simulator, exchange, one_in(20))
        before = gaps(tables)
        assert {gap["state"] for gap in before} == {"open"}
        tally = mend(tables, asked(simulator, exchange))
        requests = simulator.rest_requests
    # Binance shows no futures trades that carry a condition.
    hidden = {trade for trade in between if trade.condition}
    left = [gap for gap in gaps(tables) if gap["state"] != "repaired"]
    assert len(left) == sum(gap["missing"] for gap in left) <= len(hidden)
    assert all(gap["state"] == "unrepairable" for gap in left)
    found = stored(tables, exchange)
    absent = numbers(between) - found.keys()
    assert len(absent) == len(left)
    assert absent <= numbers(hidden)
    came = [found[one] for one in numbers(between) - absent]
    assert came.count("rest") == sum(one["count"] for one in before) - len(left)
    assert tally.total("rest", exchange, "answered") == requests
    # Neighbours share a request; what is missing in it is asked for twice.
    assert requests <= len(markets(simulator, exchange)) + 2 * len(left)
    client = tables.client
    assert verify(client).equal
    assert not check_totals(client)


def test_gap_of_a_failing_exchange_stays_with_its_reason_and_is_filled_later(
    tables: Database,
) -> None:
    """A gap stays, with the reason and a count; when REST is well again it is filled."""
    with played(fail=1) as (simulator, _):
        between = hear(tables, simulator, "kraken", one_in(20))
        count = len(gaps(tables))
        mend(tables, asked(simulator, "kraken"), patience=HASTE)
        assert simulator.rest_requests == QUICK.tries
        found = gaps(tables)
        assert len(found) == count
        assert {(gap["state"], gap["reason"]) for gap in found} == {("repairing", "status 503")}
        assert {gap["attempts"] for gap in found} <= {1, 2, 3}
        simulator.fail_rate = 0
        mend(tables, asked(simulator, "kraken"))
    assert {gap["state"] for gap in gaps(tables)} == {"repaired"}
    assert stored(tables, "kraken").keys() >= numbers(between)


def test_rate_limited_repair_waits_and_loses_nothing(tables: Database) -> None:
    """Nothing is lost by them."""
    with played() as (simulator, run):

        async def limit() -> None:
            simulator.limit(2)

        hear(tables, simulator, "kraken", one_in(20))
        run(limit())
        tally = mend(tables, asked(simulator, "kraken"), patience=HASTE)
    assert tally.total("rest", "kraken", "refused") == 2
    assert {gap["state"] for gap in gaps(tables)} == {"repaired"}


def test_gap_older_than_the_exchange_shows_is_given_up_once(tables: Database) -> None:
    """Once, with the reason; it is not asked for again."""
    with played(oldest=5) as (simulator, _):
        hear(tables, simulator, "binance", lambda place, _: place != 3)
        found = gaps(tables)
        mend(tables, asked(simulator, "binance"))
        requests = simulator.rest_requests
        assert requests
        mend(tables, asked(simulator, "binance"))
        assert simulator.rest_requests == requests
    after = gaps(tables)
    assert len(after) == len(found)
    old = [gap for gap in after if gap["state"] == "unrepairable"]
    assert old
    assert all(gap["reason"].startswith("too old: the exchange shows trades from") for gap in old)
    assert {gap["state"] for gap in after} <= {"unrepairable", "repaired"}


def test_gap_is_not_given_up_after_one_answer(tables: Database) -> None:
    """What it lacks is asked for once more, not before its time, by the next process too; what
    comes then is stored.
    """
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
    """With the exchange's own words; others are filled."""
    with played(refuse=("BTC-USD",)) as (simulator, _):
        hear(tables, simulator, "coinbase", one_in(20))
        mend(tables, asked(simulator, "coinbase"))
    states = {(gap["symbol"] == "BTC/USD", gap["state"]) for gap in gaps(tables)}
    assert states == {(True, "unrepairable"), (False, "repaired")}
    (reason,) = {gap["reason"] for gap in gaps(tables) if gap["symbol"] == "BTC/USD"}
    assert "NotFound" in reason


def test_gap_whose_answers_cannot_be_read_is_given_up_after_some(tables: Database) -> None:
    """After some answers that hold all of it, as none of it is ever stored; then it is not
    asked for again.
    """
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
    found = gaps(tables)
    assert {gap["attempts"] for gap in found} == {MAX_UNREADABLE_FILLS}
    assert all("came and were not stored, see dead_letters" in gap["reason"] for gap in found)
    assert requests == len(two) * MAX_UNREADABLE_FILLS


def test_gap_of_millions_is_not_requested(tables: Database) -> None:
    """And said to be."""
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
    """Older ones wait for a key, and their gaps say for which."""
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
