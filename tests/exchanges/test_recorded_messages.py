"""Recorded messages of every kind, if recordings are available."""

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.support import recorded
from tests.support.decoding import kinds, trades

pytestmark = recorded.needed

EXCHANGES = {"binance": "binance", "kraken": "kraken", "coinbase_pro": "coinbase"}


def messages() -> list[tuple[str, str, str]]:
    """Exchange, kind as its recorder named it, and frame."""
    path = recorded.DATA / "single_messages" / "crypto_msg_parser_odd.jsonl"
    rows = [json.loads(line) for line in recorded.lines(path)]
    return [
        (EXCHANGES[row["exchange"]], row["test"], row["raw"])
        for row in rows
        if row["exchange"] in EXCHANGES
    ]


def prices(frame: str) -> list[Decimal]:
    """Prices of the trades of a frame, read with plain JSON."""
    content: Any = json.loads(frame, parse_float=Decimal, parse_int=Decimal)
    if isinstance(content, list):
        return [Decimal(row[0]) for row in content[1]] if content[-2] == "trade" else []
    if content.get("type") in ("match", "last_match"):
        return [Decimal(content["price"])]
    if content.get("channel") == "market_trades":
        return [Decimal(t["price"]) for event in content["events"] for t in event["trades"]]
    data = content.get("data", content)
    return [Decimal(data["p"])] if isinstance(data, dict) and data.get("e") == "trade" else []


def test_every_recorded_message_is_a_trade_or_a_control_frame() -> None:
    """Frames with trades give all of their prices."""
    recorded_messages = messages()
    assert len(recorded_messages) > 30
    for exchange, name, frame in recorded_messages:
        expected = prices(frame)
        assert kinds(exchange, frame) == ["trade" if expected else "control"], name
        assert [trade["price"] for trade in trades(exchange, frame)] == expected, name


def test_coinbase_frames_recorded_in_2026_are_decoded() -> None:
    """Advanced Trade and Exchange."""
    path = recorded.DATA / "single_messages" / "coinbase_2026_frames.txt"
    frames = [line.split("\t", 1)[1] for line in recorded.lines(path)]
    advanced, match = frames
    assert [trade["price"] for trade in trades("coinbase", advanced)] == prices(advanced)
    assert [trade["price"] for trade in trades("coinbase", match)] == prices(match)


@pytest.mark.parametrize("name", ["BINANCE.ws.1.0.gz", "BINANCE_US.ws.1.0.gz"])
def test_recorded_binance_sessions_without_trades_are_control_frames(name: str) -> None:
    """Aggregate trades, klines, depth and tickers."""
    frames = [frame for _, frame in recorded.session(name)]
    assert len(frames) > 200
    assert set(kinds("binance", *frames)) == {"control"}


def test_recorded_kraken_ticker_session_is_control_frames() -> None:
    """Arrays of another channel, acks and heartbeats."""
    frames = [frame for _, frame in recorded.session("KRAKEN.ws.49.0.gz")]
    assert set(kinds("kraken", *frames)) == {"control"}
