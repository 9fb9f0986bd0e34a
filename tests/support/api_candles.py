"""What the API must say of candles that are made by rule."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.web_server import (
    BEGIN,
    Client,
    candle,
)

COUNT = 25


def at(minutes: int) -> str:
    return f"{BEGIN + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"


def candle_json(number: int) -> dict[str, Any]:
    """What the API says of a candle: amounts as exact text."""
    known = candle(number)
    return {
        **{name: plain(known[name]) for name in ("open", "high", "low", "close", "volume")},
        "window_start": at(number),
        "trade_count": known["trade_count"],
    }


def plain(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in candle_json(0)} for row in rows]


def follow(client: Client, link: str | None) -> Any:
    assert link is not None
    parts = urlsplit(link)
    return client.ask(parts.path, dict(parse_qsl(parts.query)))
