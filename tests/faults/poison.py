"""Messages that nobody can read."""

import json
from contextlib import suppress

from candlewax.kafka.topics import normalized_partition
from tests.faults.fault import Fault, Outcome
from tests.faults.stage import VENUES, Stage
from tests.support.kafka import reading
from tests.support.kafka.system import NORMALIZED, RAW

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
    """In the raw topic of every exchange: each is a dead frame."""
    places = [(RAW.format(venue), 0) for venue in VENUES]
    return _poison(stage, places, FRAMES, "frame")


def normalized(stage: Stage) -> Outcome:
    """In each partition of the topic of trades that is read: each is a dead letter."""
    count = reading.topics(stage.place.broker.servers)[NORMALIZED]
    places = {(NORMALIZED, normalized_partition(venue, count)) for venue in VENUES}
    return _poison(stage, sorted(places), TRADES, "line")


def _poison(
    stage: Stage, places: list[tuple[str, int]], values: dict[str, bytes | None], scope: str
) -> Outcome:
    count, before = len(places) * len(values), _letters(stage, scope)
    for topic, partition in places:
        servers = stage.place.broker.servers
        reading.put(servers, topic, list(values.values()), b"poison", partition)
    outcome = Outcome(recovery=stage.recover())
    # They are not stored in the order of trades.
    with suppress(AssertionError):
        stage.until(lambda: _letters(stage, scope) - before == count, 30)
    letters = _letters(stage, scope) - before
    outcome.seen = f"{count} messages, {letters} dead letters"
    if letters != count:
        outcome.wrong.append(outcome.seen)
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
