"""Websocket rules of each exchange: messages, answers and limits."""

import json

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.websocket import ControlMessage, Kind
from candlewax.simulator.frames import control

TRADES = {
    "binance": [
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":1,"s":"BTCUSDT","t":1}}',
        '{"e":"trade","E":1,"s":"BTCUSDT","t":1}',
    ],
    "binance_usdm": ['{"stream":"btcusdt_250627@trade","data":{"e":"trade","E":1}}'],
    "kraken": ['{"channel":"trade","type":"update","data":[]}'],
    "coinbase": [
        '{"channel":"market_trades","client_id":"","timestamp":"2026-01-01T00:00:00Z",'
        '"sequence_num":1,"events":[{"type":"update","trades":[]}]}'
    ],
}

OTHERS = {
    "binance": [
        '{"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT"}}',
        '{"result":["btcusdt@trade"],"id":3}',
        '[{"e":"24hrTicker"}]',
    ],
    "binance_usdm": ['{"stream":"btcusdt@markPrice","data":{"e":"markPriceUpdate"}}'],
    "kraken": [
        '{"channel":"status","type":"update","data":[{"system":"online"}]}',
        '{"channel":"trade","type":"snapshot","data":[]}',
        '{"method":"pong","req_id":1}',
        '[1,[["1","1","1.1","s","l",""]],"trade","XBT/USD"]',
    ],
    "coinbase": [
        '{"channel":"market_trades","sequence_num":0,"events":[{"type":"snapshot","trades":[]}]}',
        '{"channel":"subscriptions","events":[{"subscriptions":{"heartbeats":["heartbeats"]}}]}',
        '{"channel":"subscriptions","events":null}',
        '{"channel":"subscriptions","events":[3,{"subscriptions":[]},{"subscriptions":{}}]}',
    ],
}

HEARTBEATS = {
    "kraken": [control.KRAKEN_HEARTBEAT, control.KRAKEN_V1_HEARTBEAT],
    "coinbase": [control.coinbase_heartbeat(10**15, 1, 2)],
}

NONSENSE = ["", " ", "{", "[]", "null", "17", '"text"', "{}", '{"id":true,"result":null}']

ANSWERS = [
    ("binance", '{"result":null,"id":7}', ControlMessage(Kind.ACK, 7)),
    ("binance", '{"code":2,"msg":"no","id":7}', ControlMessage(Kind.REFUSAL, 7, reason="no")),
    (
        "binance",
        '{"error":{"code":2,"msg":"no"},"id":7}',
        ControlMessage(Kind.REFUSAL, 7, reason="no"),
    ),
    (
        "binance",
        '{"code":3,"msg":"Invalid JSON"}',
        ControlMessage(Kind.REFUSAL, reason="Invalid JSON"),
    ),
    ("binance_usdm", '{"result":null,"id":1}', ControlMessage(Kind.ACK, 1)),
    (
        "kraken",
        '{"method":"subscribe","req_id":5,"result":{"channel":"trade","snapshot":true,'
        '"symbol":"BTC/USD"},"success":true}',
        ControlMessage(Kind.ACK, 5, ("BTC/USD",)),
    ),
    (
        "kraken",
        '{"error":"Currency pair not supported X/Y","method":"subscribe","req_id":5,'
        '"success":false,"symbol":"X/Y"}',
        ControlMessage(Kind.REFUSAL, 5, ("X/Y",), "Currency pair not supported X/Y"),
    ),
    (
        "kraken",
        '{"error":"Already subscribed","method":"subscribe","success":false,"symbol":"X/Y"}',
        ControlMessage(Kind.ACK, None, ("X/Y",)),
    ),
    (
        "kraken",
        '{"error":"Exceeded msg rate","method":"subscribe","req_id":5,"success":false}',
        ControlMessage(Kind.REFUSAL, reason="Exceeded msg rate"),
    ),
    (
        "coinbase",
        '{"channel":"subscriptions","client_id":"","timestamp":"2026-01-01T00:00:00Z",'
        '"sequence_num":0,"events":[{"subscriptions":{"market_trades":["BTC-USD","ETH-USD"]}}]}',
        ControlMessage(Kind.ACK, None, ("BTC-USD", "ETH-USD")),
    ),
    (
        "coinbase",
        '{"type":"error","message":"failure to subscribe","reason":"FOO-USD is not valid"}',
        ControlMessage(
            Kind.REFUSAL, None, ("FOO-USD",), "failure to subscribe FOO-USD is not valid"
        ),
    ),
    ("coinbase", '{"type":"error","message":"no"}', ControlMessage(Kind.REFUSAL, reason="no")),
]


@pytest.mark.parametrize(("exchange", "frame", "expected"), ANSWERS)
def test_control_message_names_its_symbols_or_its_request(
    exchange: str, frame: str, expected: ControlMessage
) -> None:
    """Acks and refusals."""
    live = EXCHANGES[exchange].live
    assert live.parse_control(frame) == expected
    assert not live.is_trade(frame)


@pytest.mark.parametrize("exchange", list(TRADES))
def test_only_trade_frames_are_trades(exchange: str) -> None:
    """Snapshots, control frames and garbage are neither trades nor heartbeats."""
    live = EXCHANGES[exchange].live
    assert all(live.is_trade(frame) for frame in TRADES[exchange])
    for frame in [*OTHERS[exchange], *NONSENSE]:
        assert not live.is_trade(frame)
        assert live.parse_control(frame).kind is Kind.OTHER
    for frame in HEARTBEATS.get(exchange, []):
        assert not live.is_trade(frame)
        assert live.parse_control(frame).kind is Kind.HEARTBEAT


@pytest.mark.parametrize("exchange", ["binance", "binance_usdm"])
def test_announced_shutdown_of_binance_is_recognized(exchange: str) -> None:
    """Bare or in an envelope."""
    parse_control = EXCHANGES[exchange].live.parse_control
    bare = '{"e":"serverShutdown","E":1770123456789}'
    envelopes = [f'{{"stream":"!serverShutdown","data":{bare}}}', f'{{"event":{bare}}}']
    assert {parse_control(frame).kind for frame in [bare, *envelopes]} == {Kind.SHUTDOWN}


def test_subscribe_message_follows_the_documentation() -> None:
    messages = {
        name: json.loads(EXCHANGES[name].live.subscribe(["BTC-USD", "X"], 9)) for name in TRADES
    }
    binance = {"method": "SUBSCRIBE", "params": ["btc-usd@trade", "x@trade"], "id": 9}
    assert messages["binance"] == messages["binance_usdm"] == binance
    params = {"channel": "trade", "symbol": ["BTC-USD", "X"], "snapshot": True}
    assert messages["kraken"] == {"method": "subscribe", "params": params, "req_id": 9}
    assert messages["coinbase"] == {
        "type": "subscribe",
        "product_ids": ["BTC-USD", "X"],
        "channel": "market_trades",
    }
    assert EXCHANGES["coinbase"].live.opening_messages == (
        '{"type":"subscribe","channel":"heartbeats"}',
    )


@pytest.mark.parametrize("exchange", list(TRADES))
def test_rules_stay_within_the_documented_limits(exchange: str) -> None:
    """Message length, message rate, connection rate and connection age."""
    live = EXCHANGES[exchange].live
    assert live.url.startswith("wss://")
    assert len(live.subscribe(["ABCDEFGHIJUSDT_250627"] * live.symbols_per_message, 10**6)) < 4096
    assert (
        live.messages_per_s
        <= {"binance": 4, "binance_usdm": 9, "kraken": 5, "coinbase": 8}[exchange]
    )
    assert live.stalled_after_s >= 60
    if exchange.startswith("binance"):
        assert live.max_age_s is not None
        assert live.max_age_s < 24 * 3600
        assert live.symbols_per_connection <= 1024
        assert 300 / live.connect_every_s < 300
