"""Odd forms of frames of trades: amounts, times, layouts, and what is no trade at all."""

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from candlewax.simulator.frames import control
from candlewax.simulator.market.market import Trade
from candlewax.simulator.recording import faults

Change = Callable[[Random, str], str]
"""Makes an odd frame of an ordinary one."""

_AMOUNT: Final = re.compile(r'"(p|q|price|qty|size)":("?)[0-9.]+("?)')
_TIME: Final = re.compile(r'"(T|time|timestamp)":("[^"]*"|[0-9]+)')
_NUMBER: Final = re.compile(r'"(t|trade_id)":("?)[0-9]+("?)')
_SIDE: Final = re.compile(r'"(side|m)":("[^"]*"|[a-z]+)')
_MICROSECONDS: Final = re.compile(r"(\.\d{6})Z")

AMOUNTS: Final = (
    "0", "0.000000000001", "0.0000000000001", "1e-7", "1E+3", "12345678901234567890", "1e400",
    "00.5", "0.100000000000000000", "99999999999999999999999999.5", "1.5e-12", "5E-13",
)  # fmt: skip
TIMES: Final = (
    "0", "-1", "1969", '"1969-12-31T23:59:59.999999Z"', '"2026-02-30T00:00:00Z"',
    '"2026-09-25T07:49:60Z"', "9223372036854775807", '"2026-09-25T07:49:01+00:00"', "null",
)  # fmt: skip
NUMBERS: Final = ("18446744073709551616", "-5", "007", "null", "1.5", '"x"')
SPOILS: Final[dict[str, Sequence[Callable[[str], str]]]] = {
    "binance": faults.BINANCE,
    "binance_usdm": faults.BINANCE,
    "kraken": faults.KRAKEN,
    "coinbase": faults.COINBASE,
    "bitstamp": faults.ANY,
}
GARBAGE: Final = (
    "", "{}", "[]", "null", "1", '"text"', "{", faults.GATEWAY, "\x00", '{"data":[]}',
    '{"e":"trade"}', '{"channel":"trade","type":"update","data":[]}', '{"channel":"trade"}',
    "[1,2,3]", "\u2028 \ud7ff",
    '{"channel":"market_trades","events":[]}', '{"type":"match"}', '{"candlewax":"other"}',
)  # fmt: skip


def odd_amount(rng: Random, text: str) -> str:
    """Return a frame with another price or quantity in one of its trades."""
    amount = rng.choice(AMOUNTS)
    return _replace_one(rng, _AMOUNT, lambda m: f'"{m[1]}":{m[2]}{amount}{m[3]}', text)


def odd_time(rng: Random, text: str) -> str:
    """Return a frame with an impossible time in one of its trades."""
    return _replace_one(rng, _TIME, lambda m: f'"{m[1]}":{rng.choice(TIMES)}', text)


def odd_number(rng: Random, text: str) -> str:
    """Return a frame with an impossible number of one of its trades."""
    number = rng.choice(NUMBERS)
    return _replace_one(rng, _NUMBER, lambda m: f'"{m[1]}":{m[2]}{number}{m[3]}', text)


def odd_side(rng: Random, text: str) -> str:
    """Return a frame in which one of the trades has no side."""
    sides = ('"hold"', "null", '"Buy"', '"SELL"')
    return _replace_one(rng, _SIDE, lambda m: f'"{m[1]}":{rng.choice(sides)}', text)


def odd_condition(rng: Random, text: str) -> str:
    """Return a frame of futures whose trade has a condition, known or not."""
    return text.replace('"X":"MARKET"', f'"X":"{rng.choice(["ADL", "NA", "ODD", ""])}"')


def finer_time(rng: Random, text: str) -> str:
    """Return a frame whose times have nanoseconds."""
    return _MICROSECONDS.sub(rf"\g<1>{rng.randrange(1000):03}Z", text)


def other_layout(rng: Random, text: str) -> str:
    """Return the same frame with white space, or with a field that is not known."""
    if rng.random() < 0.5:
        return text.replace(",", " ,").replace(":{", ": {")
    return text.replace('"t":', '"zz":"1","t":').replace('"trade_id":', '"zz":[1],"trade_id":')


def cut_off(rng: Random, text: str) -> str:
    """Return the beginning of a frame."""
    return text[: rng.randrange(len(text))] if text else text


def garbage(rng: Random, _: str) -> str:
    """Return what is no frame of an exchange, or none with trades."""
    return rng.choice(GARBAGE)


CHANGES: Final[tuple[Change, ...]] = (
    odd_amount, odd_amount, odd_amount, odd_time, odd_number, odd_side, odd_condition, finer_time,
    finer_time, other_layout, cut_off, garbage,
)  # fmt: skip


def _replace_one(
    rng: Random, pattern: re.Pattern[str], value: Callable[[re.Match[str]], str], text: str
) -> str:
    """Return the text with one of the matches replaced."""
    found = list(pattern.finditer(text))
    if not found:
        return text
    match = rng.choice(found)
    return text[: match.start()] + value(match) + text[match.end() :]


def control_frame(rng: Random, exchange: str, trade: Trade, now_us: int) -> str:
    """Return a frame of an exchange that holds no trade."""
    name = trade.market.native_symbol
    made: dict[str, Sequence[Callable[[], str]]] = {
        "kraken": (
            lambda: control.KRAKEN_HEARTBEAT,
            lambda: control.KRAKEN_V1_HEARTBEAT,
            lambda: control.kraken_status(rng.randrange(10**9)),
            lambda: control.kraken_ack(name, now_us, 7),
            lambda: control.kraken_refusal("Currency pair not supported", "subscribe", now_us, 7),
            lambda: control.kraken_pong(now_us, None),
        ),
        "coinbase": (
            lambda: control.coinbase_heartbeat(now_us, 5, 6),
            lambda: control.coinbase_subscriptions([name], now_us, 1),
            lambda: control.coinbase_error("no", "why"),
            lambda: control.coinbase_exchange_subscriptions([name]),
        ),
        "bitstamp": (lambda: '{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}',),
    }
    binance: Sequence[Callable[[], str]] = (
        lambda: control.binance_ack(3),
        lambda: control.binance_error(2, "Invalid request", 3),
        lambda: control.binance_shutdown(now_us),
        lambda: control.binance_kline(trade, now_us),
        lambda: control.binance_depth(trade, now_us),
        lambda: control.binance_book_ticker(trade, now_us),
    )
    return rng.choice(made.get(exchange, binance))()
