"""Backfill from REST and from dump files, through the whole pipeline."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
from bytewax.testing import run_main

from candlewax.clickhouse.client import Database
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.binance_rest import DUMP
from candlewax.feeds.rest import dump_files
from candlewax.feeds.rest.backfill import BackfillSource, Texts, pieces
from candlewax.feeds.rest.client import Client, RetryPolicy
from candlewax.feeds.rest.span_pages import SpanCounts, pages
from candlewax.pipeline import builder
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.counters import Counters
from candlewax.simulator.frames.trades import pad_decimals, price, quantity
from candlewax.simulator.market.market import Trade
from candlewax.simulator.market.rng import decimal_text
from candlewax.simulator.server import Simulator
from candlewax.verification.verify import check_totals, verify
from dataflows import ohlcv
from tests.support.decoding import INSTRUMENTS
from tests.support.mending import asked, markets, played, stored

pytestmark = pytest.mark.slow("each test runs the whole pipeline", seconds=10)


def store(
    tables: Database, exchange: str, native: str, texts: Texts
) -> tuple[Counters, BackfillSource]:
    """Run the pipeline on these texts."""
    counters = Counters()
    source = BackfillSource(exchange, native, lambda _: texts, counters, lambda: False)
    process = ProcessContext(INSTRUMENTS, (exchange,), counters)
    run_main(ohlcv.build(builder.build_embedded(process, source, tables)))
    return counters, source


def from_rest(
    simulator: Simulator, exchange: str, native: str, span: tuple[int, int], **changes: Any
) -> Texts:
    """The REST responses for a time range."""
    (endpoint,) = asked(simulator, exchange).values()
    client = Client(
        endpoint.rest,
        endpoint.url,
        endpoint.key,
        retry_policy=RetryPolicy(first_backoff_s=0.001, max_backoff_s=0.001),
    )
    count, counts = changes.get("count", lambda _: None), changes.get("found", SpanCounts())
    return pages(client, endpoint.rest, native, span, count, counts)


@pytest.mark.parametrize("exchange", ["binance", "binance_usdm", "kraken", "coinbase"])
def test_backfill_stores_exactly_the_trades_of_its_time_range(
    tables: Database, exchange: str
) -> None:
    """A second run finds only duplicates and leaves the tables as they are."""
    progress: list[int] = []
    counts = SpanCounts()
    with played(8_000) as (simulator, _):
        native, trades = max(markets(simulator, exchange).items(), key=lambda item: len(item[1]))
        times = [trade.time_us for trade in trades]
        # REST times of Binance are whole milliseconds.
        begin, end = (times[len(times) * share // 4] // 1000 * 1000 for share in (1, 3))
        span = begin, end
        first_run, _ = store(
            tables,
            exchange,
            native,
            from_rest(simulator, exchange, native, span, count=progress.append, found=counts),
        )
        before = stored(tables, exchange)
        second_run, _ = store(
            tables, exchange, native, from_rest(simulator, exchange, native, span)
        )
    expected = {
        (native, trade.trade_id)
        for trade in trades
        if span[0] <= trade.time_us < span[1] and not trade.condition
    }
    assert expected
    assert before.keys() == expected
    assert counts == SpanCounts(within=len(expected))
    assert set(before.values()) == {"rest"}
    assert sum(progress) == span[1] - span[0]
    assert stored(tables, exchange) == before
    assert second_run.total("trades") == 0
    assert second_run.total("duplicates") == first_run.total("trades") == len(before)
    assert verify(tables.client).equal
    assert not check_totals(tables.client)


def test_backfill_of_many_pages_stores_each_trade_once(tables: Database) -> None:
    """Only the last page, which is full as well, repeats some trades."""
    with played() as (simulator, _):
        native, trades = "BTC-USD", markets(simulator, "coinbase")["BTC-USD"]
        (endpoint,) = asked(simulator, "coinbase").values()
        small_pages = EXCHANGES["coinbase"].rest.__class__(
            **{**vars(endpoint.rest), "page_rows": 50}
        )
        client = Client(small_pages, endpoint.url)
        span = trades[0].time_us, trades[-1].time_us + 1
        texts = pages(client, small_pages, native, span, lambda _: None, SpanCounts())
        counters, _ = store(tables, "coinbase", native, texts)
    assert counters.total("trades") == len(trades) > 100
    assert counters.total("duplicates") < 50


def test_backfill_of_a_range_without_trades_stores_nothing(tables: Database) -> None:
    """Before the first trade of a market, and after its last one."""
    with played() as (simulator, _):
        times = [trade.time_us for trade in markets(simulator, "kraken")["BTC/USD"]]
        for span in ((0, times[0]), (times[-1] + 1, times[-1] + 10**9)):
            counts = SpanCounts()
            texts = from_rest(simulator, "kraken", "BTC/USD", span, found=counts)
            counters, source = store(tables, "kraken", "BTC/USD", texts)
            assert (counters.total("frames"), counts, source.error) == (0, SpanCounts(), None)
    assert stored(tables, "kraken") == {}


def test_backfill_ends_with_an_error_when_the_exchange_refuses(tables: Database) -> None:
    """At once for an unknown market, after several attempts for a failing server."""
    with played(refuse=("ETH/USD",)) as (simulator, _):
        span = 0, 10**18
        _, source = store(
            tables, "kraken", "ETH/USD", from_rest(simulator, "kraken", "ETH/USD", span)
        )
        assert "Unknown asset pair" in str(source.error)
        simulator.fail_rate = 1
        _, source = store(
            tables, "kraken", "BTC/USD", from_rest(simulator, "kraken", "BTC/USD", span)
        )
        assert "status 503" in str(source.error)
        assert simulator.rest_requests == 1 + 8


def dump_line(trade: Trade, unit_us: int = 1000) -> str:
    """A line of a dump file, as Binance writes it for spot."""
    market = trade.market
    worth = decimal_text(trade.price * trade.quantity, market.price_decimals + market.lot_decimals)
    return (
        f"{trade.trade_id},{pad_decimals(price(trade))},{pad_decimals(quantity(trade))},{pad_decimals(worth)},"
        f"{trade.time_us // unit_us},{not trade.bought},True"
    )


@pytest.mark.parametrize(("unit_us", "suffix"), [(1000, ".csv"), (1, ".zip")])
def test_backfill_stores_dump_files_once(
    tables: Database, tmp_path: Path, unit_us: int, suffix: str
) -> None:
    """Plain and zipped, in either unit of time. A second run finds only duplicates."""
    with played(6000) as (simulator, _):
        trades = markets(simulator, "binance")["BTCUSDT"]
    files = []
    for n, part in enumerate((trades[:1200], trades[1200:])):
        text = "".join(dump_line(trade, unit_us) + "\n" for trade in part)
        path = tmp_path / f"BTCUSDT-trades-2026-01-0{n + 1}{suffix}"
        if suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(f"{path.stem}.csv", text)
        else:
            path.write_text(text)
        files.append(path)
    for known_count in (0, len(trades)):
        read: list[int] = []
        texts = pieces(files, DUMP, None, read.append, SpanCounts())
        counters, _ = store(tables, "binance", "BTCUSDT", texts)
        assert counters.total("trades") == len(trades) - known_count
        assert counters.total("duplicates") == known_count
        assert sum(read) == sum(map(dump_files.size, files))
    stored_trades = stored(tables, "binance")
    assert stored_trades.keys() == {("BTCUSDT", trade.trade_id) for trade in trades}
    assert set(stored_trades.values()) == {"dump"}
    assert verify(tables.client).equal
