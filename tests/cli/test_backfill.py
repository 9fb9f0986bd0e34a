"""Trades of a span of time, from REST and from dump files."""

import argparse
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bytewax.testing import run_main

from candlewax.cli import backfill as command
from candlewax.cli.backfill import BackfillRequest, BackfillRequestError, parse_request
from candlewax.cli.main import main
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
from tests.support.processes import candlewax


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
    haste = RetryPolicy(first_backoff_s=0.001, max_backoff_s=0.001)
    client = Client(how.rest, how.url, how.key, retry_policy=haste)
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


@pytest.mark.parametrize("unit_us", [1000, 1])
@pytest.mark.parametrize("suffix", [".csv", ".zip"])
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


def wished(*arguments: str) -> BackfillRequest:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers(), lambda _: 0)
    return parse_request(parser.parse_args(["backfill", *arguments]), INSTRUMENTS)


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("exchange", "symbol", "native"),
    [
        ("binance", "BTCUSDT", "BTCUSDT"),
        ("binance", "BTC/USDT", "BTCUSDT"),
        ("binance", "PEPEUSDT", "PEPEUSDT"),
        ("binance_usdm", "BTC/USDT:USDT", "BTCUSDT"),
        ("kraken", "BTC/USD", "BTC/USD"),
        ("coinbase", "BTC/USD", "BTC-USD"),
    ],
)
def test_markets_by_either_name(exchange: str, symbol: str, native: str) -> None:
    """As the exchange writes it, or unified."""
    found = wished(exchange, symbol, "--from", "2026-01-31", "--to", "2026-01-31T12:30:00")
    span = us("2026-01-31"), us("2026-01-31T12:30:00")
    assert found == BackfillRequest(exchange, native, span, ())


def test_times_are_utc_unless_they_say_otherwise() -> None:
    """As 2026-01-31T12:30:00+02:00."""
    found = wished(
        "kraken", "BTC/USD", "--from", "2026-01-31T02:00:00+02:00", "--to", "2026-02-01T00:00:00Z"
    )
    assert found.span == (us("2026-01-31"), us("2026-02-01"))


def test_a_dump_needs_no_times() -> None:
    """All of it, then."""
    found = wished("binance", "BTCUSDT", "--dump", "a.csv", "b.zip")
    assert found == BackfillRequest("binance", "BTCUSDT", None, (Path("a.csv"), Path("b.zip")))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("binance", "nothing"), "'nothing' is no symbol of binance"),
        (("kraken", "BTCUSDT"), "'BTCUSDT' is no symbol of kraken"),
        (("binance", "BTCUSDT"), "--from and --to are needed"),
        (("binance", "BTCUSDT", "--from", "2026-01-02", "--to", "2026-01-02"), "before --to"),
        (("binance", "BTCUSDT", "--from", "2200-01-01", "--to", "2200-01-02"), "in the future"),
    ],
)
def test_wrong_wishes(arguments: tuple[str, ...], why: str) -> None:
    """Each with what is wrong."""
    with pytest.raises(BackfillRequestError, match=why):
        wished(*arguments)


def test_the_command(tmp_path: Path) -> None:
    """It stores a dump and sums up; again, all is known."""
    dump = tmp_path / "BTCUSDT-trades-2026-01-01.csv"
    dump.write_text("1,2,3,6,1767225600000,True,True\n2,2,3,6,1767225601000,False,True\noops\n")
    arguments = ("backfill", "binance", "BTC/USDT", "--dump", str(dump))
    first = candlewax(tmp_path, *arguments)
    assert first.returncode == 0, first.stderr
    assert "2 trades stored, 0 known before, 1 dead letters" in first.stdout
    assert "BTCUSDT-trades-2026-01-01.csv: 2 trades of BTCUSDT" in first.stdout
    assert "1 lines cannot be read, see dead_letters" in first.stderr
    again = candlewax(tmp_path, *arguments)
    assert "0 trades stored, 2 known before, 1 dead letters" in again.stdout


@pytest.mark.parametrize(
    ("text", "span", "said", "frames"),
    [
        # Other days.
        (
            "id,price,qty,quote_qty,time,is_buyer_maker\n1,2,3,6,1767225600000,True\n",
            ("--from", "2026-01-05"),
            "no trade of BTCUSDT in that span; no trade was stored",
            0,
        ),
        ("oops\n", (), "no trade that can be read of BTCUSDT; no trade was stored", 1),
    ],
)
def test_a_dump_without_a_trade_ends_with_1(
    tmp_path: Path, text: str, span: tuple[str, ...], said: str, frames: int
) -> None:
    """And nothing of other days is stored, not even the names above the lines."""
    dump = tmp_path / "BTCUSDT-trades-2026-01-01.csv"
    dump.write_text(text)
    done = candlewax(tmp_path, "backfill", "binance", "BTC/USDT", "--dump", str(dump), *span)
    assert done.returncode == 1
    assert said in done.stderr
    assert f"{frames} frames in" in done.stdout


def test_a_span_before_the_first_trade_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By REST nothing is stored then; of one that holds some it is said how many."""
    monkeypatch.setenv("no_proxy", "*")
    with played() as (simulator, _):
        trades = markets(simulator, "coinbase")["BTC-USD"]
        url = {"CANDLEWAX_COINBASE_REST_URL": simulator.rest_url("coinbase")}
        first = datetime.fromtimestamp(trades[0].time_us // 1_000_000, UTC)
        begin = (first - timedelta(days=1)).isoformat()
        arguments = ("backfill", "coinbase", "BTC-USD", "--from", begin, "--to")
        before = candlewax(tmp_path, *arguments, first.isoformat(), **url)
        within = candlewax(tmp_path, *arguments, (first + timedelta(seconds=1)).isoformat(), **url)
    assert before.returncode == 1
    assert "coinbase: no trade of BTC-USD in that span; no trade was stored" in before.stderr
    assert "0 frames in" in before.stdout
    end_us = int(first.timestamp() + 1) * 1_000_000
    count = sum(trade.time_us < end_us for trade in trades)
    assert within.returncode == 0, within.stderr
    assert f"coinbase: {count:,} trade" in within.stdout
    assert f"{count:,} trades stored" in within.stdout


SPAN = ("--from", "2026-01-01", "--to", "2026-01-02")


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (("kraken", "BTC/USD", "--dump", "x.csv"), {}, "kraken publishes no dumps"),
        (("binance", "BTCUSDT", "--dump", "none.csv"), {}, "none.csv: there is no such file"),
        (("binance", "FOO", *SPAN), {}, "'FOO' is no symbol of binance"),
        (("binance_usdm", "BTCUSDT", *SPAN), {}, "CANDLEWAX_BINANCE_USDM_KEY: needed"),
        (
            ("kraken", "BTC/USD", *SPAN),
            {"KRAKEN_URL": "ws://127.0.0.1:1/x"},
            "CANDLEWAX_KRAKEN_REST_URL: needed",
        ),
    ],
)
def test_the_command_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    settings: dict[str, str],
    said: str,
) -> None:
    """And asks nobody."""
    for name, text in settings.items():
        monkeypatch.setenv(f"CANDLEWAX_{name}", text)
    with pytest.raises(SystemExit) as ended:
        main(["backfill", *arguments])
    assert ended.value.code == 1
    assert said in capsys.readouterr().err
