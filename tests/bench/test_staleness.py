"""Ages of answers and delays of a stream, from what was sent and what was read."""

import pytest

from bench.live import polls
from bench.live.polls import Sent
from bench.live.staleness import Answer, candle_stamps, staleness_ms

MS = 1_000_000
BTC, ETH = ("binance", "BTC/USDT"), ("kraken", "ETH/USD")

TRADES = [
    Sent(10 * MS, (*BTC, 5), 101),
    Sent(20 * MS, (*BTC, 5), 102),
    Sent(30 * MS, (*BTC, 6), 103),
    Sent(25 * MS, (*ETH, 5), 7),
]


@pytest.mark.parametrize(
    ("began_ms", "last_sequences", "age_ms"),
    [
        (40, {BTC: 103, ETH: 7}, 0),
        (40, {BTC: 101, ETH: 7}, 20),
        (40, {BTC: 102}, 15),
        (40, {}, 30),
        (5, {}, 0),
        (15, {BTC: 101}, 0),
        (15, {BTC: 103, ETH: 7}, 0),
    ],
    ids=[
        "nothing missing", "two of a market missing", "a market missing", "all missing",
        "nothing sent yet", "the next not sent yet", "more stored while the query ran",
    ],
)  # fmt: skip
def test_staleness_is_the_age_of_the_oldest_missing_trade(
    began_ms: int, last_sequences: dict[tuple[str, str], int], age_ms: float
) -> None:
    answer = Answer(began_ms * MS, 1.0, last_sequences)
    assert staleness_ms([answer], TRADES) == [age_ms]


def test_staleness_of_a_trade_that_was_never_sent_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="104, which was never sent"):
        staleness_ms([Answer(40 * MS, 1.0, {BTC: 104})], TRADES)


def test_stream_delay_ends_at_the_first_event_that_holds_the_trade() -> None:
    lines = [
        (21 * MS, b"event: candles\n"),
        (22 * MS, _candles("1970-01-01T00:05:00Z", 101)),
        (23 * MS, b"event: trades\n"),
        (23 * MS, b'data: {"data":[{"sequence":102}]}\n'),
        (24 * MS, b": still here\n"),
        (32 * MS, b"event: candles\n"),
        (32 * MS, _candles("1970-01-01T00:05:00Z", 102)),
    ]
    stamps = candle_stamps(BTC, lines)
    own = [trade for trade in TRADES if trade.candle[:2] == BTC]
    assert polls.latencies(own, stamps) == ([12.0, 12.0], 1)


def _candles(begin: str, last_sequence: int) -> bytes:
    row = f'{{"window_start":"{begin}","last_sequence":{last_sequence}}}'
    return b'data: {"received_us":1,"data":[' + row.encode() + b"]}\n"
