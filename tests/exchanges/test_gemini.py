"""Gemini: frames and responses written after its documentation."""

from decimal import Decimal

import pytest

from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.exchanges.gemini import GEMINI
from candlewax.exchanges.gemini_rest import CANDLES, MARKETS, REST, parse_error
from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.markets import ListedMarket, MarketKind, MarketStatus
from candlewax.exchanges.protocol.rest import Cursor, RestErrorKind
from candlewax.exchanges.protocol.venue_candles import VenueCandle
from candlewax.exchanges.protocol.websocket import Kind
from tests.exchanges.conformance import Conformance, Declared, Trade
from tests.support import recorded
from tests.support.decoding import at, ms, read, reasons, trades, trades_of

SOLD = (
    '{"E":1759291200123456789,"s":"btcusd","t":2840141030659933,"p":"83371.08000",'
    '"q":"0.0000593800","m":true}'
)
BOUGHT = (
    '{"E":1759291200123456999,"s":"btcusd","t":2840141030659939,"p":"83371.09000",'
    '"q":"2.0000000000","m":false}'
)
RESPONSE = (
    '[{"timestamp":1759291200,"timestampms":1759291200123,"tid":2840141030659939,'
    '"price":"83371.09","amount":"2","exchange":"gemini","type":"buy"},'
    '{"timestamp":1759291200,"timestampms":1759291200123,"tid":2840141030659933,'
    '"price":"83371.08","amount":"0.00005938","exchange":"gemini","type":"sell"}]'
)
V2 = (
    '{"type":"trade","symbol":"BTCUSD","event_id":3575573053,"timestamp":1560976400428,'
    '"price":"9122.04","quantity":"0.0073173","side":"sell"}'
)


class TestConformance(Conformance):
    """The present WebSocket API, and REST."""

    declared = Declared(
        "gemini",
        "btcusd",
        "BTC/USD",
        frames=(SOLD, BOUGHT),
        trades=(
            Trade(
                "2840141030659933",
                at("2025-10-01T04:00:00.123456"),
                "SELL",
                "83371.08",
                "0.00005938",
            ),
            Trade("2840141030659939", at("2025-10-01T04:00:00.123456"), "BUY", "83371.09", "2"),
        ),
        is_numbered=False,
        controls={
            '{"id":"1","status":200}': Kind.ACK,
            '{"id":"1","status":200,"result":{}}': Kind.ACK,
            '{"id":"ping","status":200,"result":{}}': Kind.HEARTBEAT,
            '{"type":"heartbeat","timestamp":1624493671639}': Kind.HEARTBEAT,
            '{"id":"1","status":429,"error":{"code":-1003,"msg":"Too many requests"}}': Kind.OTHER,
            '{"e":"depthUpdate","E":1,"s":"btcusd","U":1,"u":2,"b":[],"a":[]}': Kind.OTHER,
            '{"u":7,"E":1,"s":"btcusd","b":"1","B":"2","a":"3","A":"4"}': Kind.OTHER,
            '{"type":"l2_updates","symbol":"BTCUSD","changes":[["buy","1","2"]]}': Kind.OTHER,
        },
        refusal='{"id":"1","status":400,"error":{"code":-1121,"msg":"Invalid symbol"}}',
        unknown="nopeusd",
        malformed={
            '{"E":1759291200123456789,"s":"btcusd","t":1}': "bad_shape",
            '{"s":"btcusd"}': "bad_shape",
            "[1]": "bad_shape",
            "{": "bad_json",
            SOLD.replace("1759291200123456789", "1859291200123456789"): "bad_time",
            SOLD.replace("btcusd", "nope"): "unknown_instrument",
            V2.replace('"sell"', '"block"'): "bad_side",
            '{"type":"l2_updates","symbol":"BTCUSD","trades":{}}': "bad_shape",
        },
        response=RESPONSE,
        rest_errors=(
            (429, "", RestErrorKind.RATE_LIMITED),
            (
                400,
                '{"result":"error","reason":"RateLimited","message":"Slow"}',
                RestErrorKind.RATE_LIMITED,
            ),
            (
                400,
                '{"result":"error","reason":"InvalidSymbol","message":"nope"}',
                RestErrorKind.PERMANENT,
            ),
            (
                400,
                '{"result":"error","reason":"InvalidParameter","message":"x"}',
                RestErrorKind.FAILED,
            ),
            (200, '{"result":"error","reason":"System","message":"x"}', RestErrorKind.FAILED),
            (503, "<html>", RestErrorKind.FAILED),
        ),
        # REST tells milliseconds.
        response_matches=("trade_id", "side", "price", "quantity"),
    )


def test_trade_of_rest_is_that_of_the_websocket() -> None:
    deduplicator = Deduplicator()
    live = read("gemini", SOLD, BOUGHT).trades
    asked = read("gemini", RESPONSE, connection="rest/btcusd").trades
    assert deduplicator.mark_new(live).is_new.all()
    assert not deduplicator.mark_new(asked).is_new.any()


def test_trades_of_one_millisecond_are_ordered_by_id() -> None:
    """A response is newest first."""
    found = trades_of("gemini", "rest/btcusd", RESPONSE)
    assert [trade["trade_id"] for trade in found] == ["2840141030659933", "2840141030659939"]


def test_trades_of_market_data_v2_are_read() -> None:
    """Of updates, and of the snapshot in any order; symbols are in capitals there."""
    (trade,) = trades("gemini", V2)
    assert (trade["symbol"], trade["side"], trade["trade_id"], trade["timestamp"]) == (
        "BTC/USD",
        "SELL",
        "3575573053",
        ms(1560976400428),
    )
    assert (trade["price"], trade["quantity"]) == (Decimal("9122.04"), Decimal("0.0073173"))
    older = V2.replace("3575573053", "3575573051").replace('"sell"', '"buy"')
    snapshot = (
        f'{{"type":"l2_updates","symbol":"BTCUSD","changes":[],"trades":[{V2},{older}],'
        '"auction_events":[]}'
    )
    found = trades("gemini", snapshot)
    assert [(trade["trade_id"], trade["side"]) for trade in found] == [
        ("3575573051", "BUY"),
        ("3575573053", "SELL"),
    ]
    assert not GEMINI.live.is_trade(snapshot)


@pytest.mark.parametrize(
    ("native_symbol", "symbol"),
    [
        ("ethdai", "ETH/DAI"),
        ("usdcusd", "USDC/USD"),
        ("ETHBTC", "ETH/BTC"),
        ("btcgusd", "BTC/GUSD"),
        ("btcgusdperp", "BTC/GUSD:GUSD"),
    ],
)
def test_symbols_without_separator_are_split_at_a_known_quote(
    native_symbol: str, symbol: str
) -> None:
    (trade,) = trades("gemini", SOLD.replace("btcusd", native_symbol))
    assert (trade["symbol"], trade["native_symbol"]) == (symbol, native_symbol)


@pytest.mark.parametrize("native_symbol", ["BtcUsd", "xyzgusdperp", "abc", "zzzgusd"])
def test_symbol_without_a_rule_is_a_dead_letter(native_symbol: str) -> None:
    """ZZZ/GUSD or ZZZG/USD: neither base is known."""
    assert reasons("gemini", SOLD.replace("btcusd", native_symbol)) == ["unknown_instrument"]


def test_messages_follow_the_documentation() -> None:
    live = GEMINI.live
    assert live.subscribe(["btcusd", "ethusd"], 3) == (
        '{"id":"3","method":"subscribe","params":["btcusd@trade","ethusd@trade"]}'
    )
    assert live.parse_control('{"id":"3","status":200}').request == 3
    refusal = live.parse_control('{"id":"x","status":400}')
    assert (refusal.request, refusal.reason) == (None, "status 400")


def test_requests_begin_a_millisecond_before_the_cursor() -> None:
    path = REST.trades_path("btcusd", Cursor(0, 1547146811357_000_999), 500)
    assert path == "/v1/trades/btcusd?limit_trades=500&timestamp=1547146811356"
    page = REST.parse_page(parse(RESPONSE))
    assert page.numbers == [2840141030659933, 2840141030659939]
    assert page.until_ns == 1759291200123_000_000
    assert REST.parse_page([]).numbers == []


def test_candles_are_read_from_rows() -> None:
    rows = "[[1559755800000,7781.6,7820.23,7776.56,7819.39,1e-8]]"
    (candle,) = CANDLES.parse(parse(rows))
    assert candle == VenueCandle(1559755800, "7781.6", "7820.23", "7776.56", "7819.39", "1e-8")
    assert CANDLES.parse([]) == []
    assert CANDLES.path("btcusd", 0, 60) == "/v2/candles/btcusd/1m"


def test_list_of_markets_tells_kind_tick_and_status() -> None:
    """A market that cannot be read is an error beside the others."""
    rows = (
        '[{"symbol":"BTCUSD","base_currency":"BTC","quote_currency":"USD","tick_size":1e-8,'
        '"quote_increment":0.01,"status":"open","product_type":"spot"},'
        '{"symbol":"BTCGUSDPERP","base_currency":"BTC","quote_currency":"GUSD",'
        '"quote_increment":0.5,"status":"post_only","product_type":"swap",'
        '"contract_price_currency":"GUSD"},{"symbol":"ODD"}]'
    )
    prices = '[{"pair":"BTCUSD","price":"71240.5","percentChange24h":"0.01"}]'
    *listed, error = MARKETS.parse([parse(rows), parse(prices)])
    assert isinstance(error, FrameError)
    assert listed == [
        ListedMarket("btcusd", "BTC/USD", "BTC", "USD", tick="0.01", price=Decimal("71240.5")),
        ListedMarket("btcgusdperp", "BTC/GUSD:GUSD", "BTC", "GUSD", MarketKind.PERPETUAL,
                     tick="0.5", status=MarketStatus.SUSPENDED),
    ]  # fmt: skip


def test_good_response_is_no_error() -> None:
    assert parse_error(200, []) is None


@recorded.needed
def test_recorded_rest_trades_are_read() -> None:
    """Each row of an answer recorded in 2020, compared with a plain reading of it."""
    path = recorded.DATA / "venues/gemini_btcusd_trades_20200831.jsonl"
    lines = list(recorded.lines(path))
    rows = [parse(line) for line in lines]
    found = trades_of("gemini", "rest/btcusd", f"[{','.join(lines)}]")
    assert [
        (t["trade_id"], t["price"], t["quantity"], t["side"].lower(), t["timestamp"]) for t in found
    ] == [
        (str(r["tid"]), Decimal(r["price"]), Decimal(r["amount"]), r["type"], ms(r["timestampms"]))
        for r in reversed(rows)
    ]


@recorded.needed
def test_recorded_session_of_v2_is_read_without_a_dead_letter() -> None:
    """Of 2021: ten snapshots of 50 trades, and 16 updates."""
    decoded = read("gemini", *(frame for _, frame in recorded.session("GEMINI.ws.1.0.gz")))
    assert decoded.dead_letters.is_empty()
    assert decoded.trades.height == 516
    assert decoded.trades["symbol"].n_unique() == 10
