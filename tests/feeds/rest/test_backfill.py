"""Trades of a span of time, from REST and from dump files, through the whole pipeline."""

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
from candlewax.pipeline.builder import ProcessContext
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
    """Run the pipeline over some texts."""
    tally = Counters()
    source = BackfillSource(exchange, native, lambda _: texts, tally, lambda: False)
    process = ProcessContext(INSTRUMENTS, (exchange,), tally)
    run_main(ohlcv.build(builder.build_embedded(process, source, tables)))
    return tally, source


def from_rest(
    simulator: Simulator, exchange: str, native: str, span: tuple[int, int], **changes: Any
) -> Texts:
    """What REST has of a span."""
    (how,) = asked(simulator, exchange).values()
    client = Client(
        how.rest,
        how.url,
        how.key,
        retry_policy=RetryPolicy(first_backoff_s=0.001, max_backoff_s=0.001),
    )
    count, found = changes.get("count", lambda _: None), changes.get("found", SpanCounts())
    return pages(client, how.rest, native, span, count, found)


@pytest.mark.parametrize("exchange", ["binance", "binance_usdm", "kraken", "coinbase"])
def test_exactly_the_trades_of_a_span_come(tables: Database, exchange: str) -> None:
    """None before it or behind it, and every stored answer is the exchange's own; once more they
    are all known: the tables stay as they are.
    """
    told: list[int] = []
    found = SpanCounts()
    with played(8_000) as (simulator, _):
        native, trades = max(markets(simulator, exchange).items(), key=lambda item: len(item[1]))
        times = [trade.time_us for trade in trades]
        # Binance tells whole milliseconds by REST.
        begin, end = (times[len(times) * share // 4] // 1000 * 1000 for share in (1, 3))
        span = begin, end
        first, _ = store(
            tables,
            exchange,
            native,
            from_rest(simulator, exchange, native, span, count=told.append, found=found),
        )
        before = stored(tables, exchange)
        again, _ = store(tables, exchange, native, from_rest(simulator, exchange, native, span))
    wanted = {
        (native, trade.trade_id)
        for trade in trades
        if span[0] <= trade.time_us < span[1] and not trade.condition
    }
    assert wanted
    assert before.keys() == wanted
    assert found == SpanCounts(within=len(wanted))
    assert set(before.values()) == {"rest"}
    assert sum(told) == span[1] - span[0]
    assert stored(tables, exchange) == before
    assert again.total("trades") == 0
    assert again.total("duplicates") == first.total("trades") == len(before)
    assert verify(tables.client).equal
    assert not check_totals(tables.client)


def test_more_than_a_page_comes(tables: Database) -> None:
    """Page after page; only the last one, which is full as well, holds some again."""
    with played() as (simulator, _):
        native, trades = "BTC-USD", markets(simulator, "coinbase")["BTC-USD"]
        (how,) = asked(simulator, "coinbase").values()
        small = EXCHANGES["coinbase"].rest.__class__(**{**vars(how.rest), "page_rows": 50})
        client = Client(small, how.url)
        span = trades[0].time_us, trades[-1].time_us + 1
        texts = pages(client, small, native, span, lambda _: None, SpanCounts())
        tally, _ = store(tables, "coinbase", native, texts)
    assert tally.total("trades") == len(trades) > 100
    assert tally.total("duplicates") < 50


def test_a_span_without_trades_stores_none(tables: Database) -> None:
    """Before the first trade of a market, and after its last one."""
    with played() as (simulator, _):
        times = [trade.time_us for trade in markets(simulator, "kraken")["BTC/USD"]]
        for span in ((0, times[0]), (times[-1] + 1, times[-1] + 10**9)):
            found = SpanCounts()
            texts = from_rest(simulator, "kraken", "BTC/USD", span, found=found)
            tally, source = store(tables, "kraken", "BTC/USD", texts)
            assert (tally.total("frames"), found, source.error) == (0, SpanCounts(), None)
    assert stored(tables, "kraken") == {}


def test_an_exchange_that_refuses_ends_it(tables: Database) -> None:
    """After some tries, with a message; what came before is stored."""
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


def line(trade: Trade, unit_us: int = 1000) -> str:
    """A line of a dump, as Binance writes it for spot."""
    market = trade.market
    worth = decimal_text(trade.price * trade.quantity, market.price_decimals + market.lot_decimals)
    return (
        f"{trade.trade_id},{pad_decimals(price(trade))},{pad_decimals(quantity(trade))},{pad_decimals(worth)},"
        f"{trade.time_us // unit_us},{not trade.bought},True"
    )


@pytest.mark.parametrize(("unit_us", "suffix"), [(1000, ".csv"), (1, ".zip")])
def test_dumps_are_stored(tables: Database, tmp_path: Path, unit_us: int, suffix: str) -> None:
    """Plain and zipped, in either unit of time, several files; twice changes nothing."""
    with played(6000) as (simulator, _):
        trades = markets(simulator, "binance")["BTCUSDT"]
    files = []
    for n, part in enumerate((trades[:1200], trades[1200:])):
        text = "".join(line(trade, unit_us) + "\n" for trade in part)
        path = tmp_path / f"BTCUSDT-trades-2026-01-0{n + 1}{suffix}"
        if suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(f"{path.stem}.csv", text)
        else:
            path.write_text(text)
        files.append(path)
    for known in (0, len(trades)):
        read: list[int] = []
        texts = pieces(files, DUMP, None, read.append, SpanCounts())
        tally, _ = store(tables, "binance", "BTCUSDT", texts)
        assert tally.total("trades") == len(trades) - known
        assert tally.total("duplicates") == known
        assert sum(read) == sum(map(dump_files.size, files))
    found = stored(tables, "binance")
    assert found.keys() == {("BTCUSDT", trade.trade_id) for trade in trades}
    assert set(found.values()) == {"dump"}
    assert verify(tables.client).equal
