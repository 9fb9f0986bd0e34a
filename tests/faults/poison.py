"""Messages that nobody can read."""

import json

from tests.faults.fault import Fault, Outcome
from tests.faults.stage import VENUES, Stage
from tests.kafka import reading
from tests.kafka.system import NORMALIZED, RAW

DEEP = b"[" * 200_000 + b"]" * 200_000
HUGE = b'{"e":"trade","s":"' + b"x" * (8 << 20) + b'"}'

FRAMES = {
    "empty": b"",
    "no value": None,
    "garbage": b"upstream connect error",
    "cut": b'{"stream":"btcusdt@trade","data":{"e":"trade","E":17000',
    "no UTF-8": b'{"e":"trade","s":"\xff\xfe"}',
    "zeros": b"\0" * 1000,
    "deep": DEEP,
    "deep in a field": b'{"e":"trade","x":' + DEEP + b"}",
    "huge": HUGE,
    "a number alone": b"1e400",
    "lone surrogate": b'{"e":"trade","s":"\\ud800"}',
    "long digits": b'{"e":"trade","t":' + b"9" * 5000 + b"}",
}
TRADES = {
    **FRAMES,
    "an object": b"{}",
    "no numbers": json.dumps({"exchange": "binance", "symbol": "BTC/USDT", "price": "x"}).encode(),
}


def raw(stage: Stage) -> Outcome:
    """In the raw topic of every exchange: each is a frame, and a dead letter or control."""
    return _poison(stage, [RAW.format(venue) for venue in VENUES], FRAMES, "frame")


def normalized(stage: Stage) -> Outcome:
    """In every partition of the topic of trades: each is a dead letter."""
    return _poison(stage, [NORMALIZED], TRADES, "line")


def _poison(stage: Stage, topics: list[str], values: dict[str, bytes | None], scope: str) -> Outcome:
    servers = stage.place.broker.servers
    before = _letters(stage, scope)
    count = 0
    for topic in topics:
        for partition in range(reading.topics(servers)[topic]):
            reading.put(servers, topic, list(values.values()), b"poison", partition)
            count += len(values)
    recovery = stage.recover()
    outcome = Outcome(recovery=recovery)
    stage.until(lambda: _letters(stage, scope) - before >= count)
    outcome.seen = f"{count} messages, {_letters(stage, scope) - before} dead letters"
    return outcome


def _letters(stage: Stage, scope: str) -> int:
    sql = "SELECT count() FROM dead_letters FINAL WHERE scope = {scope:String}"
    return int(stage.system.tables.query(sql, {"scope": scope}).item())


FAULTS = [
    Fault(
        "poison-raw",
        "empty, cut, huge, deeply nested and garbled messages in the raw topics",
        raw,
    ),
    Fault("poison-normalized", "the same in the topic of trades", normalized),
]
