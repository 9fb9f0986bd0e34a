"""Kraken Futures, by frames written after its documentation."""

from decimal import Decimal
from types import SimpleNamespace

import polars as pl
import pytest

from candlewax.core.rows.deduplicate import mark_new
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.fields import FrameError, Number
from candlewax.exchanges.protocol.markets import ListedMarket, MarketKind, MarketStatus
from candlewax.exchanges.protocol.rest import RestErrorKind
from candlewax.exchanges.protocol.websocket import Kind
from tests.exchanges.conformance import Conformance, Declared, Trade
from tests.support.decoding import INSTRUMENTS, ms, read, reasons, trades

BUY_ID, SELL_ID = "c8d5cd34-0f1a-4b6e-9d55-10f0b7a3b1c2", "0b0f3c1e-7a55-4a0e-8b0a-5f2e9f6f7a10"


def frame(seq: int = 96905, time: int = 1790359963339, **changes: str) -> str:
    """Return a live trade."""
    fields = {
        "uid": f'"{BUY_ID}"',
        "side": '"buy"',
        "type": '"fill"',
        "qty": "0.0003",
        "price": "83999.5",
    } | changes
    return (
        f'{{"feed":"trade","product_id":"PF_XBTUSD","uid":{fields["uid"]},"side":{fields["side"]},'
        f'"type":{fields["type"]},"seq":{seq},"time":{time},"qty":{fields["qty"]},'
        f'"price":{fields["price"]}}}'
    )


SELL = frame(96906, 1790359963341, uid=f'"{SELL_ID}"', side='"sell"', qty="2.0", price="83999.0")
SNAPSHOT = (
    '{"feed":"trade_snapshot","product_id":"PF_XBTUSD","trades":['
    f'{{"product_id":"PF_XBTUSD","feed":"trade","uid":"{SELL_ID}","side":"sell",'
    '"type":"liquidation","time":1790359963341,"qty":2.0,"price":83999.0,"seq":96906},'
    f'{{"product_id":"PF_XBTUSD","feed":"trade","uid":"{BUY_ID}","side":"buy","type":"fill",'
    '"time":1790359963339,"qty":0.0003,"price":83999.5,"seq":96905}]}'
)


class TestConformance(Conformance):
    """The suite of all exchanges."""

    declared = Declared(
        "kraken_futures",
        "PF_XBTUSD",
        "BTC/USD:USD",
        frames=(frame(), SELL),
        trades=(
            Trade(BUY_ID, ms(1790359963339), "BUY", "83999.5", "0.0003"),
            Trade(SELL_ID, ms(1790359963341), "SELL", "83999", "2"),
        ),
        is_numbered=True,
        numbers=(96905, 96906),
        controls={
            '{"event":"info","version":1}': Kind.OTHER,
            '{"event":"subscribed","feed":"trade","product_ids":["PF_XBTUSD"]}': Kind.ACK,
            '{"event":"subscribed","feed":"heartbeat"}': Kind.OTHER,
            '{"event":"alert","message":"Already subscribed to feed, re-requesting"}': Kind.OTHER,
            '{"feed":"heartbeat","time":1790359963339}': Kind.HEARTBEAT,
            '{"feed":"ticker","product_id":"PF_XBTUSD","bid":83999}': Kind.OTHER,
        },
        refusal='{"event":"error","message":"Invalid product id"}',
        unknown="PF_NOPEUSD",
        malformed={
            frame(side="1"): "bad_shape",
            frame(side='"taker"'): "bad_side",
            frame(seq=-1): "bad_id",
            frame(time=-5): "bad_time",
            '{"feed":"trade_snapshot","product_id":"PF_XBTUSD"}': "bad_shape",
            '{"price":1}': "bad_shape",
            "[]": "bad_shape",
        },
        response=(
            '{"result":"success","history":[{"time":"2026-09-25T18:12:43.341Z","trade_id":100,'
            f'"price":83999.0,"size":2.0,"side":"sell","type":"fill","uid":"{SELL_ID}"}},'
            '{"time":"2026-09-25T18:12:43.339Z","trade_id":99,"price":83999.5,"size":0.0003,'
            f'"side":"buy","type":"fill","uid":"{BUY_ID}"}}],'
            '"serverTime":"2026-09-25T18:12:44.000Z"}'
        ),
        rest_errors=(
            (200, '{"result":"error","error":"apiLimitExceeded"}', RestErrorKind.RATE_LIMITED),
            (
                200,
                '{"result":"error","error":"invalidArgument: symbol"}',
                RestErrorKind.PERMANENT,
            ),
            (200, '{"result":"error","error":"Unavailable"}', RestErrorKind.FAILED),
            (503, "<html>", RestErrorKind.FAILED),
        ),
    )


@pytest.mark.parametrize("few", [0, 1000])
def test_snapshot_is_read_newest_first(few: int) -> None:
    """In columns and one by one; its numbers and ids are those of the live trades."""
    decoded = read("kraken_futures", SNAPSHOT, few=few).trades
    live = read("kraken_futures", frame(), SELL, few=few).trades
    columns = ["trade_id", "sequence", "timestamp", "side", "price", "quantity", "condition"]
    assert decoded.sort("sequence").select(columns).equals(live.select(columns))
    assert decoded["vendor.type"].to_list() == ["liquidation", "fill"]


def test_snapshot_of_a_second_subscription_brings_what_was_missed() -> None:
    """Known trades are duplicates by their numbers."""
    deduplicator = Deduplicator()
    deduplicator.mark_new(read("kraken_futures", frame()).trades)
    again = read("kraken_futures", SNAPSHOT).trades
    assert deduplicator.mark_new(again).is_new.to_list() == [True, False]


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        ("fill", None),
        ("liquidation", None),
        ("termination", "termination"),
        ("block", "block"),
        ("assignment", "assignment"),
        ("novelty", "novelty"),
    ],
)
def test_only_trades_of_the_order_book_count(kind: str, condition: str | None) -> None:
    """The type stays beside the trade; an unknown one does not count either."""
    (trade,) = trades("kraken_futures", frame(type=f'"{kind}"'))
    assert trade["condition"] == condition
    assert trade["vendor"] == {"type": kind}
    known = EXCHANGES["kraken_futures"].known_conditions
    assert (condition in known) == (kind in {"termination", "block", "assignment"})


def test_amounts_are_exact() -> None:
    (trade,) = trades("kraken_futures", frame(qty="1.0", price="9007199254740.993125"))
    assert (trade["quantity"], trade["price"]) == (Decimal(1), Decimal("9007199254740.993125"))


@pytest.mark.parametrize(
    ("product", "symbol", "base"),
    [
        ("PI_XBTUSD", "BTC/USD:BTC", "BTC"),
        ("PF_XRPUSD", "XRP/USD:USD", "XRP"),
        ("FI_ETHUSD_260925", "ETH/USD:ETH-260925", "ETH"),
        ("FF_XBTUSD_260925", "BTC/USD:USD-260925", "BTC"),
    ],
)
def test_products_are_split(product: str, symbol: str, base: str) -> None:
    instrument = INSTRUMENTS.resolve("kraken_futures", product)
    assert instrument is not None
    assert (instrument.symbol, instrument.base, instrument.quote) == (symbol, base, "USD")


@pytest.mark.parametrize(
    "product", ["PF_XBTUSD_260925", "FI_XBTUSD", "IN_XBTUSD", "PF_XBTEUR", "pf_xbtusd"]
)
def test_other_names_are_not_guessed(product: str) -> None:
    changed = frame().replace("PF_XBTUSD", product)
    assert reasons("kraken_futures", changed) == ["unknown_instrument"]


def _numbered(first: int, count: int, time: int) -> pl.DataFrame:
    uids = (f'"{first:08x}-0000-4000-8000-{n:012x}"' for n in range(count))
    rows = (frame(first + n, time + n, uid=uid) for n, uid in enumerate(uids))
    return read("kraken_futures", *rows).trades


def test_numbers_that_start_again_open_a_numbering() -> None:
    """As after a restart of the engine; the trades of both are told apart, none is missing."""
    deduplicator = Deduplicator()
    before = _numbered(655_500, 5, 1790359000000)
    after = _numbered(1, 5, 1790359900000)
    assert deduplicator.mark_new(before).numbering is None
    admission = deduplicator.mark_new(after)
    assert admission.is_new.all()
    assert admission.numbering is not None
    assert admission.numbering.to_list() == [1] * 5
    assert [(symbol, opening.start.first) for symbol, opening in admission.openings] == [
        ("BTC/USD:USD", 1)
    ]
    assert not any(ranges.missing_ranges() for ranges in deduplicator.ranges_by_series.values())
    assert not deduplicator.mark_new(before).is_new.any()


@pytest.mark.parametrize("by_rows", [False, True])
def test_snapshot_may_span_the_point_where_numbers_start_again(*, by_rows: bool) -> None:
    """It is newest first, so the newest trade opens the numbering."""
    deduplicator = Deduplicator()
    deduplicator.mark_new(_numbered(655_500, 5, 1790359000000))
    both = pl.concat(
        [_numbered(1, 3, 1790359900000)[::-1], _numbered(655_505, 2, 1790359000005)[::-1]]
    )
    if by_rows:
        keys = both.with_columns(pl.col("timestamp").cast(pl.Int64), pl.col("symbol").cast(str))
        made = [
            SimpleNamespace(**row)
            for row in keys.select("symbol", "sequence", "trade_id", "timestamp").rows(named=True)
        ]
        marked = mark_new(deduplicator, made)  # type: ignore[arg-type]  # what it reads of a trade
        is_new, numbering = marked.is_new, marked.numbering
    else:
        admission = deduplicator.mark_new(both)
        assert admission.numbering is not None
        is_new, numbering = admission.is_new.to_list(), admission.numbering.to_list()
    assert is_new == [True] * 5
    assert numbering == [1, 1, 1, 0, 0]
    assert not any(ranges.missing_ranges() for ranges in deduplicator.ranges_by_series.values())


def test_hole_in_the_numbers_is_missing() -> None:
    deduplicator = Deduplicator()
    deduplicator.mark_new(_numbered(100, 3, 1790359000000))
    deduplicator.mark_new(_numbered(110, 3, 1790359900000))
    (ranges,) = deduplicator.ranges_by_series.values()
    assert [(gap.first, gap.last) for gap in ranges.missing_ranges()] == [(103, 109)]


def test_own_candles_are_read() -> None:
    rules = EXCHANGES["kraken_futures"].candles
    assert rules is not None
    path = rules.path("PF_XBTUSD", 1727650800, 1727650920)
    assert path == "/api/charts/v1/trade/PF_XBTUSD/1m?from=1727650800&to=1727650860"
    row = {"time": 1727650800000, "open": "3", "high": "4", "low": "2", "close": "3.5"}
    (candle,) = rules.parse({"candles": [{**row, "volume": "1.25"}], "more_candles": False})
    assert (candle.start_s, candle.high, candle.close, candle.volume, candle.trade_count) == (
        1727650800, "4", "3.5", "1.25", None,
    )  # fmt: skip


def test_markets_are_listed() -> None:
    """Inverse products with the size of their contracts; indexes are left out."""
    rules = EXCHANGES["kraken_futures"].markets
    assert rules is not None
    product = {"tradeable": True, "isExpired": False, "contractSize": 1}
    products = [
        {**product, "symbol": "PF_XBTUSD", "tickSize": Number("0.50")},
        {**product, "symbol": "pi_xbtusd", "tickSize": 1, "tradeable": False},
        {**product, "symbol": "FI_XBTUSD_260925", "tickSize": 1, "isExpired": True},
        {**product, "symbol": "in_xbtusd"},
        {**product, "symbol": "PF_XBTEUR", "tickSize": 1},
        7,
    ]
    tickers = [{"symbol": "PF_XBTUSD", "last": Number("83999.5"), "volumeQuote": 12}]
    *markets, unknown, invalid = rules.parse([{"instruments": products}, {"tickers": tickers}])
    assert markets == [
        ListedMarket(
            "PF_XBTUSD", "BTC/USD:USD", "BTC", "USD", MarketKind.PERPETUAL, tick="0.5",
            price=Decimal("83999.5"), turnover=Decimal(12),
        ),
        ListedMarket(
            "PI_XBTUSD", "BTC/USD:BTC", "BTC", "USD", MarketKind.PERPETUAL, "1", "USD", "1",
            MarketStatus.SUSPENDED,
        ),
        ListedMarket(
            "FI_XBTUSD_260925", "BTC/USD:BTC-260925", "BTC", "USD", MarketKind.FUTURE, "1", "USD",
            "1", MarketStatus.DELISTED,
        ),
    ]  # fmt: skip
    assert isinstance(invalid, FrameError)
    assert isinstance(unknown, FrameError)
