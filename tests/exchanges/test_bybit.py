"""Bybit spot and linear contracts, by frames from its documentation and from client libraries."""

import json
from decimal import Decimal

import pytest

from candlewax.core.instruments import Instruments
from candlewax.exchanges.bybit import BYBIT
from candlewax.exchanges.protocol.rest import RestErrorKind
from candlewax.exchanges.protocol.websocket import Kind
from tests.exchanges.conformance import Conformance, Declared, Trade
from tests.support import recorded
from tests.support.decoding import ms, read, reasons, trades, trades_of

SPOT_TRADE = (
    '{"i":"2290000000923750370","T":1761583474343,"p":"115440.7","v":"0.00903","S":"Buy",'
    '"seq":89200463112,"s":"BTCUSDT","BT":false,"RPI":false}'
)
SPOT_SELL = (
    SPOT_TRADE.replace("750370", "750374").replace("115440.7", "115440.6").replace("Buy", "Sell")
)
SPOT = (
    '{"topic":"publicTrade.BTCUSDT","ts":1761583474344,"type":"snapshot","data":['
    f"{SPOT_TRADE},{SPOT_SELL}]}}"
)
OLDER_SPOT = (
    '{"topic":"publicTrade.BTCUSDT","ts":1703430744103,"type":"snapshot","data":['
    '{"i":"2290000000090712222","T":1703430744102,"p":"43774","v":"0.0026","S":"Sell",'
    '"s":"BTCUSDT","BT":false}]}'
)
LINEAR = (
    '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":['
    '{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick",'
    '"i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false}]}'
)
LINEAR_SELL = (
    '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1790132704999,"data":['
    '{"T":1790132704990,"s":"BTCUSDT","S":"Sell","v":"1.5","p":"63000.10","L":"MinusTick",'
    '"i":"5c0bd0ad-2f6a-5e0e-bd69-2c3a4d4a2f3e","BT":false,"RPI":true,"seq":1783284617}]}'
)
BEFORE_V5 = (
    '{"topic":"trade.BTCUSDT","data":[{"symbol":"BTCUSDT","tick_direction":"PlusTick",'
    '"price":"1054.45","size":0.82,"timestamp":"2021-04-17T16:43:05.000Z",'
    '"trade_time_ms":"1618677785948","side":"Sell",'
    '"trade_id":"a6492be8-54bb-55b2-8b46-69ad3c70a3b5"}]}'
)

CONTROLS = {
    '{"success":true,"ret_msg":"subscribe","conn_id":"2324d924","req_id":"1","op":"subscribe"}': (
        Kind.ACK
    ),
    '{"success":true,"ret_msg":"pong","conn_id":"0970e817","req_id":"ping","op":"ping"}': (
        Kind.HEARTBEAT
    ),
    '{"req_id":"ping","op":"pong","args":["1675418560633"],"conn_id":"cfcb4ocsvfriu23r3er0-1b"}': (
        Kind.HEARTBEAT
    ),
    '{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT"},"ts":1}': Kind.OTHER,
    '{"success":true,"ret_msg":"","conn_id":"38cf0ac3","request":{"op":"subscribe","args":[]}}': (
        Kind.OTHER
    ),
}
REFUSAL = (
    '{"success":false,"ret_msg":"Invalid symbol :[publicTrade.NOPEUSDT]","conn_id":"2324d924",'
    '"req_id":"1","op":"subscribe"}'
)
MALFORMED = {
    '{"topic":"publicTrade.BTCUSDT","type":"snapshot","data":{}}': "bad_shape",
    '{"type":"snapshot"}': "bad_shape",
    "[]": "bad_shape",
    "pong": "bad_json",
    SPOT.replace('"Buy"', '"Hold"').replace('"Sell"', '"Hold"'): "bad_side",
    OLDER_SPOT.replace('"43774"', '"0"'): "bad_price",
    OLDER_SPOT.replace("2290000000090712222", ""): "bad_id",
}
ERRORS = (
    (200, '{"retCode":10006,"retMsg":"Too many visits!"}', RestErrorKind.RATE_LIMITED),
    (403, "", RestErrorKind.RATE_LIMITED),
    (200, '{"retCode":10001,"retMsg":"params error: Symbol Invalid"}', RestErrorKind.PERMANENT),
    (200, '{"retCode":10001,"retMsg":"params error: limit"}', RestErrorKind.FAILED),
    (200, '{"retCode":10016,"retMsg":"Internal server error"}', RestErrorKind.FAILED),
    (502, "<html>", RestErrorKind.FAILED),
)


def answer(*rows: str) -> str:
    """Return a response with trades, newest first."""
    found = ",".join(
        json.dumps({**json.loads(row), "isBlockTrade": False, "isRPITrade": False}) for row in rows
    )
    return (
        f'{{"retCode":0,"retMsg":"OK","result":{{"category":"","list":[{found}]}},"retExtInfo":{{}},'
        '"time":1790132705000}'
    )


class TestSpot(Conformance):
    """Bybit spot passes the suite."""

    declared = Declared(
        "bybit",
        "BTCUSDT",
        "BTC/USDT",
        frames=(SPOT, OLDER_SPOT),
        trades=(
            Trade("2290000000923750370", ms(1761583474343), "BUY", "115440.7", "0.00903"),
            Trade("2290000000923750374", ms(1761583474343), "SELL", "115440.6", "0.00903"),
            Trade("2290000000090712222", ms(1703430744102), "SELL", "43774", "0.0026"),
        ),
        is_numbered=False,
        controls=CONTROLS,
        refusal=REFUSAL,
        unknown="NOPEUSDT",
        malformed=MALFORMED,
        response=answer(
            '{"execId":"2290000000923750374","symbol":"BTCUSDT","price":"115440.6",'
            '"size":"0.00903","side":"Sell","time":"1761583474343"}',
            '{"execId":"2290000000923750370","symbol":"BTCUSDT","price":"115440.7",'
            '"size":"0.00903","side":"Buy","time":"1761583474343"}',
            '{"execId":"2290000000090712222","symbol":"BTCUSDT","price":"43774",'
            '"size":"0.0026","side":"Sell","time":"1703430744102"}',
        ),
        rest_errors=ERRORS,
    )


class TestLinear(Conformance):
    """Linear contracts of Bybit pass the suite."""

    declared = Declared(
        "bybit_linear",
        "BTCUSDT",
        "BTC/USDT:USDT",
        frames=(LINEAR, LINEAR_SELL),
        trades=(
            Trade(
                "20f43950-d8dd-5b31-9112-a178eb6023af",
                ms(1672304486865),
                "BUY",
                "16578.5",
                "0.001",
            ),
            Trade(
                "5c0bd0ad-2f6a-5e0e-bd69-2c3a4d4a2f3e",
                ms(1790132704990),
                "SELL",
                "63000.1",
                "1.5",
            ),
        ),
        is_numbered=False,
        controls=CONTROLS,
        refusal=REFUSAL,
        unknown="NOPEUSDT",
        malformed=MALFORMED,
        response=answer(
            '{"execId":"5c0bd0ad-2f6a-5e0e-bd69-2c3a4d4a2f3e","symbol":"BTCUSDT",'
            '"price":"63000.10","size":"1.5","side":"Sell","time":"1790132704990"}',
            '{"execId":"20f43950-d8dd-5b31-9112-a178eb6023af","symbol":"BTCUSDT",'
            '"price":"16578.50","size":"0.001","side":"Buy","time":"1672304486865"}',
        ),
        rest_errors=ERRORS,
    )


@pytest.mark.parametrize(
    ("exchange", "native_symbol", "symbol"),
    [
        ("bybit", "SOLUSDC", "SOL/USDC"),
        ("bybit", "ETHBTC", "ETH/BTC"),
        ("bybit_linear", "1000PEPEUSDT", "1000PEPE/USDT:USDT"),
        ("bybit_linear", "PERPUSDT", "PERP/USDT:USDT"),
        ("bybit_linear", "SOLPERP", "SOL/USDC:USDC"),
        ("bybit_linear", "LTCUSDT-21FEB25", "LTC/USDT:USDT-250221"),
        ("bybit_linear", "BTC-3MAR23", "BTC/USDC:USDC-230303"),
    ],
)
def test_symbol_is_that_of_its_category(exchange: str, native_symbol: str, symbol: str) -> None:
    """The same native symbol is another market elsewhere."""
    instrument = Instruments({}).resolve(exchange, native_symbol)
    assert instrument is not None
    assert instrument.symbol == symbol
    assert symbol.startswith(f"{instrument.base}/{instrument.quote}")


@pytest.mark.parametrize("native_symbol", ["BTC", "BTCUSDT-31FEB25", "BTCXYZ", "BTCUSDT-1"])
def test_symbol_without_a_rule_is_a_dead_letter(native_symbol: str) -> None:
    assert reasons("bybit_linear", LINEAR.replace("BTCUSDT", native_symbol)) == [
        "unknown_instrument"
    ]


@pytest.mark.parametrize("few", [0, 40])
def test_block_trade_stays_out_of_candles(few: int) -> None:
    """It has a condition; a trade with a price improvement order has none."""
    block = LINEAR.replace('"BT":false', '"BT":true')
    conditions = read("bybit_linear", block, LINEAR_SELL, few=few).trades["condition"].to_list()
    assert conditions == ["BLOCK", None]
    (trade,) = trades("bybit_linear", LINEAR_SELL)
    assert trade["vendor"]["RPI"] == "true"
    row = '{"execId":"1","symbol":"BTCUSDT","price":"1","size":"1","side":"Buy","time":"1"}'
    asked = answer(row).replace('"isBlockTrade": false', '"isBlockTrade": true')
    (trade,) = trades_of("bybit", "rest/BTCUSDT", asked)
    assert trade["condition"] == "BLOCK"


def test_frames_before_v5_are_read() -> None:
    (trade,) = trades("bybit_linear", BEFORE_V5)
    assert (trade["trade_id"], trade["side"]) == ("a6492be8-54bb-55b2-8b46-69ad3c70a3b5", "SELL")
    assert (trade["price"], trade["quantity"]) == (Decimal("1054.45"), Decimal("0.82"))
    assert trade["timestamp"] == ms(1618677785948)


@recorded.needed
def test_recorded_session_of_2021_is_decoded() -> None:
    """All of its trades, each id once, and no dead letter."""
    frames = [frame for _, frame in recorded.session("BYBIT.ws.25.0.gz")]
    messages = [json.loads(frame) for frame in frames]
    rows = [
        row
        for message in messages
        if str(message.get("topic", "")).startswith("trade.")
        for row in message["data"]
    ]
    decoded = read("bybit_linear", *frames)
    assert decoded.dead_letters.is_empty()
    assert decoded.trades["trade_id"].to_list() == [row["trade_id"] for row in rows]
    assert decoded.trades["price"].to_list() == [Decimal(row["price"]) for row in rows]
    assert len(rows) > 100


def test_response_is_read_oldest_first() -> None:
    """Trades of one millisecond keep the exchange's order."""
    found = trades_of("bybit", "rest/BTCUSDT", TestSpot.declared.response)
    assert [trade["trade_id"][-6:] for trade in found] == ["712222", "750370", "750374"]


def test_answer_names_its_request() -> None:
    parse_control = BYBIT.live.parse_control
    ack, refusal = parse_control(next(iter(CONTROLS))), parse_control(REFUSAL)
    assert (ack.request, ack.native_symbols) == (1, ())
    assert (refusal.request, refusal.native_symbols) == (1, ("NOPEUSDT",))
    bare = parse_control(REFUSAL.replace('"req_id":"1",', ""))
    assert (bare.request, bare.native_symbols) == (None, ("NOPEUSDT",))
    assert json.loads(BYBIT.live.subscribe(["BTCUSDT"], 7)) == {
        "req_id": "7",
        "op": "subscribe",
        "args": ["publicTrade.BTCUSDT"],
    }
