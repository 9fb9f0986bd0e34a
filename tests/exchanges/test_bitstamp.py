"""Bitstamp: frames and responses written after its documentation."""

from decimal import Decimal

import pytest

from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.exchanges.bitstamp import BITSTAMP
from candlewax.exchanges.bitstamp_rest import CANDLES, MARKETS, REST, trades_path
from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.markets import ListedMarket, MarketKind, MarketStatus
from candlewax.exchanges.protocol.rest import Cursor, RestErrorKind
from candlewax.exchanges.protocol.venue_candles import VenueCandle
from candlewax.exchanges.protocol.websocket import Kind
from tests.exchanges.conformance import Conformance, Declared, Trade
from tests.support import recorded
from tests.support.decoding import ms, read, reasons, trades, trades_of

FRAME = (
    '{"data":{"id":643660480,"timestamp":"1790401277","amount":0.5,"amount_str":"0.50000000",'
    '"price":83946.07,"price_str":"83946.07","type":1,"microtimestamp":"1790401277185000",'
    '"buy_order_id":2054415511941130,"sell_order_id":2054415575154691},'
    '"channel":"live_trades_btcusd","event":"trade"}'
)
TINY = (
    '{"data":{"id":643660487,"timestamp":"1790401278","amount":1e-08,"amount_str":"1E-8",'
    '"price":83947,"price_str":"83947","type":0,"microtimestamp":"1790401278000000",'
    '"buy_order_id":3,"sell_order_id":2},"channel":"live_trades_btcusd","event":"trade"}'
)
PLAIN = TINY.replace("1e-08", "0.00000001").replace('"1E-8"', '"0.00000001"')
RESPONSE = (
    '[{"date":"1790401278","tid":"643660487","amount":"0.00000001","type":"0","price":"83947"},'
    '{"date":"1790401277","tid":"643660480","amount":"0.50000000","type":"1","price":"83946.07"}]'
)


class TestConformance(Conformance):
    """WebSocket API v2 and its REST."""

    declared = Declared(
        "bitstamp",
        "btcusd",
        "BTC/USD",
        frames=(FRAME, PLAIN),
        trades=(
            Trade("643660480", ms(1790401277185), "SELL", "83946.07", "0.5"),
            Trade("643660487", ms(1790401278000), "BUY", "83947", "0.00000001"),
        ),
        is_numbered=False,
        controls={
            '{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}': Kind.HEARTBEAT,
            '{"event":"bts:subscription_succeeded","channel":"live_trades_btcusd","data":{}}': (
                Kind.ACK
            ),
            '{"event":"bts:request_reconnect","channel":"","data":""}': Kind.SHUTDOWN,
            '{"data":{"bids":[]},"channel":"order_book_btcusd","event":"data"}': Kind.OTHER,
        },
        refusal=(
            '{"event":"bts:error","channel":"","data":{"code":null,"message":'
            '"Bad subscription string."}}'
        ),
        unknown="nopeusd",
        malformed={
            '{"data":{"id":1},"channel":"live_trades_btcusd","event":"trade"}': "bad_shape",
            '{"data":[],"channel":"live_trades_btcusd","event":"trade"}': "bad_shape",
            '{"channel":"live_trades_btcusd"}': "bad_shape",
            "[1]": "bad_shape",
            "{": "bad_json",
            FRAME.replace('"type":1', '"type":2'): "bad_side",
            FRAME.replace('"1790401277185000"', '"now"'): "bad_time",
            FRAME.replace("btcusd", "nope"): "unknown_instrument",
        },
        response=RESPONSE,
        rest_errors=(
            (400, '{"response_code":"400.002"}', RestErrorKind.RATE_LIMITED),
            (429, "", RestErrorKind.RATE_LIMITED),
            (404, "<html>", RestErrorKind.PERMANENT),
            (404, '{"response_code":"404.001"}', RestErrorKind.PERMANENT),
            (400, '{"error":"Invalid time interval"}', RestErrorKind.FAILED),
            (503, "<html>", RestErrorKind.FAILED),
        ),
        # REST tells seconds only.
        response_matches=("trade_id", "side", "price", "quantity"),
    )


@pytest.mark.parametrize("few", [0, 1_000], ids=["columns", "rows"])
def test_amount_with_an_exponent_is_exact(few: int) -> None:
    """The fields that have passed through floats are kept, and not used."""
    (trade,) = read("bitstamp", TINY, few=few).trades.rows(named=True)
    assert trade["quantity"] == Decimal("0.00000001")
    assert trade["price"] == Decimal(83947)


def test_trade_of_rest_is_that_of_the_websocket() -> None:
    """By id, in whatever order they come, though REST cuts its time to the second."""
    for first, second in ((FRAME, RESPONSE), (RESPONSE, FRAME)):
        deduplicator = Deduplicator()
        new = []
        for text in (first, second):
            connection = "rest/btcusd" if text == RESPONSE else "c0"
            decoded = read("bitstamp", text, connection=connection).trades
            new += deduplicator.mark_new(decoded).is_new.to_list()
        assert sum(new) == 2


def test_rest_trades_of_one_second_are_ordered_by_id() -> None:
    """A response is newest first; its trades have no finer time."""
    response = RESPONSE.replace("1790401278", "1790401277")
    found = trades_of("bitstamp", "rest/btcusd", response)
    assert [(trade["trade_id"], trade["source_index"]) for trade in found] == [
        ("643660480", 0),
        ("643660487", 1),
    ]
    assert {trade["timestamp"] for trade in found} == {ms(1790401277000)}


@pytest.mark.parametrize(
    ("native_symbol", "symbol"),
    [("ethbtc", "ETH/BTC"), ("btcusdc", "BTC/USDC"), ("btcusd-perp", "BTC/USD:USD")],
)
def test_symbols_without_separator_are_split_at_a_known_quote(
    native_symbol: str, symbol: str
) -> None:
    (trade,) = trades("bitstamp", FRAME.replace("btcusd", native_symbol))
    assert (trade["symbol"], trade["native_symbol"]) == (symbol, native_symbol)


@pytest.mark.parametrize("native_symbol", ["BTCUSD", "solusd-perp", "abc"])
def test_symbol_without_a_rule_is_a_dead_letter(native_symbol: str) -> None:
    assert reasons("bitstamp", FRAME.replace("btcusd", native_symbol)) == ["unknown_instrument"]


def test_subscription_names_one_market() -> None:
    live = BITSTAMP.live
    assert live.subscribe(["btcusd"], 3) == (
        '{"event":"bts:subscribe","data":{"channel":"live_trades_btcusd"}}'
    )
    assert live.symbols_per_message == 1
    ack = live.parse_control(
        '{"event":"bts:subscription_succeeded","channel":"live_trades_btcusd","data":{}}'
    )
    assert ack.native_symbols == ("btcusd",)


@pytest.mark.parametrize(
    ("age_s", "span"),
    [(0, "minute"), (50, "minute"), (70, "hour"), (3_500, "hour"), (3_700, "day")],
)
def test_request_is_for_the_shortest_span_that_reaches_back(age_s: int, span: str) -> None:
    now_ns = 1_598_850_699_000_000_000
    cursor = Cursor(0, now_ns - age_s * 1_000_000_000, now_ns)
    assert trades_path("btcusd", cursor, 9) == f"/api/v2/transactions/btcusd/?time={span}"


def test_page_tells_numbers_and_times_in_order() -> None:
    page = REST.parse_page(parse(RESPONSE))
    assert page.numbers == [643660480, 643660487]
    assert page.times_us == [1790401277_000_000, 1790401278_000_000]
    assert page.until_ns == 1790401278_000_000_000
    assert REST.parse_page([]).until_ns == 0


def test_candles_are_read_and_asked_for_by_their_first_and_last_minute() -> None:
    assert CANDLES.path("btcusd", 1577776800, 1577776920) == (
        "/api/v2/ohlc/btcusd/?step=60&limit=2&start=1577776800&end=1577776860"
        "&exclude_current_candle=true"
    )
    row = (
        '{"timestamp":"1577776800","open":"7222.32","high":"7223","low":"7221","close":"7222",'
        '"volume":"0.00762049"}'
    )
    (candle,) = CANDLES.parse(parse(f'{{"data":{{"pair":"BTC/USD","ohlc":[{row}]}}}}'))
    assert candle == VenueCandle(1577776800, "7222.32", "7223", "7221", "7222", "0.00762049")
    for text in ("[]", '{"data":[]}', '{"data":{"ohlc":{}}}'):
        with pytest.raises(FrameError):
            CANDLES.parse(parse(text))


def test_list_of_markets_tells_kind_tick_and_turnover() -> None:
    """A market that cannot be read is an error beside the others."""
    markets = (
        '[{"name":"BTC/USD","market_symbol":"btcusd","base_currency":"BTC",'
        '"counter_currency":"USD","counter_decimals":2,"trading":"Enabled","market_type":"SPOT"},'
        '{"name":"BTC/USD-PERP","market_symbol":"btcusd-perp","base_currency":"BTC",'
        '"counter_currency":"USD","counter_decimals":0,"trading":"Disabled",'
        '"market_type":"PERPETUAL"},{"name":7}]'
    )
    tickers = '[{"pair":"BTC/USD","last":"71240.5","volume":"2","vwap":"70000.5"}]'
    *listed, error = MARKETS.parse([parse(markets), parse(tickers)])
    assert isinstance(error, FrameError)
    assert listed == [
        ListedMarket("btcusd", "BTC/USD", "BTC", "USD", tick="0.01", price=Decimal("71240.5"),
                     turnover=Decimal(140001)),
        ListedMarket("btcusd-perp", "BTC/USD:USD", "BTC", "USD", MarketKind.PERPETUAL, tick="1",
                     status=MarketStatus.SUSPENDED),
    ]  # fmt: skip


@recorded.needed
def test_recorded_rest_trades_are_read() -> None:
    """Each row of an answer recorded in 2020, compared with a plain reading of it."""
    path = recorded.DATA / "venues/bitstamp_ltcusd_transactions_20200831.jsonl"
    lines = list(recorded.lines(path))
    rows = [parse(line) for line in lines]
    found = trades_of("bitstamp", "rest/ltcusd", f"[{','.join(lines)}]")
    assert [
        (t["trade_id"], t["price"], t["quantity"], t["side"], int(t["timestamp"].timestamp()))
        for t in found
    ] == [
        (r["tid"], Decimal(r["price"]), Decimal(r["amount"]), ("BUY", "SELL")[int(r["type"])],
         int(r["date"]))
        for r in reversed(rows)
    ]  # fmt: skip


@recorded.needed
def test_recorded_session_is_read_without_a_dead_letter() -> None:
    """Of 2022: 10 trades among frames of order books."""
    decoded = read("bitstamp", *(frame for _, frame in recorded.session("BITSTAMP.ws.1.0.gz")))
    assert decoded.dead_letters.is_empty()
    assert decoded.trades.height == 10
    assert set(decoded.trades["symbol"].cast(str)) == {"ETH/USD"}
