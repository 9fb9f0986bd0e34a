"""Channels of connections: which market a frame is about, and which frames are lost."""

import json
from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from typing import Any
from unittest import mock

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.gaps.market_outages import SubscriptionEvent
from candlewax.core.rows import frame_decoder as rows
from candlewax.core.rows.records import Frame
from candlewax.core.schema import FRAMES
from candlewax.core.trades.channels import ChannelTracker, FramePlace
from candlewax.core.trades.decode import decode
from candlewax.exchanges import EXCHANGES
from tests.support.decoding import INSTRUMENTS, RECEIVED_NS

BITFINEX = EXCHANGES["bitfinex"]
SECOND_NS = 1_000_000_000

HELLO = '{"event":"info","version":2}'


def ack(channel: int, symbol: str, kind: str = "trades") -> str:
    """Return the answer to a subscription."""
    names = {"event": "subscribed", "channel": kind, "chanId": channel, "symbol": symbol}
    return json.dumps(names, separators=(",", ":"))


def te(channel: int, number: int, trade_id: int | str = 7) -> str:
    """Return a trade."""
    return f'[{channel},"te",[{trade_id},1790359963339,0.5,83999.5],{number}]'


TOLD = (
    ("a", HELLO), ("a", ack(17, "tBTCUSD")), ("a", ack(18, "tETHUSD")),
    ("a", ack(19, "tBTCUSD", "book")), ("a", te(17, 1, 1)), ("b", te(17, 1, 2)),
    ("b", ack(17, "tSOLUSD")), ("b", te(17, 4, 3)), ("a", "[19,[83999,1,0.5],2]"),
    ("a", '[18,"hb",3]'), ("a", "{"), ("a", te(18, 7, 4)), ("a", te(18, 7, 4)),
    ("a", '{"candlewax":"connected"}'), ("a", te(17, 1, 5)), ("a", ack(18, "tBTCUSD")),
    ("a", te(18, 2, 6)), ("a", '{"event":"unsubscribed","chanId":18}'), ("a", te(18, 3, 8)),
    ("a", "[20,[[9,1790359963339,1,2]],4]"), ("a", te(17, 9, "x")), ("b", "[17,[[9,1]],5]"),
)  # fmt: skip
"""Connections and frames, in the order of receipt."""

Read = Callable[[Sequence[Frame], ChannelTracker], Any]


def by_rows(frames: Sequence[Frame], tracker: ChannelTracker) -> Any:
    """Read frames one by one."""
    decoded = rows.decode(BITFINEX, frames, INSTRUMENTS, tracker)
    found = [
        (trade.symbol, trade.trade_id, frames[trade.row].seq, trade.source_index)
        for trade in decoded.trades
    ]
    letters = [(frames[dead.row].seq, dead.reason, dead.detail) for dead in decoded.dead_letters]
    lost = lost_frames(frames, decoded.subscriptions)
    return found, letters, lost, decoded.kinds


def lost_frames(frames: Sequence[Frame], events: Sequence[SubscriptionEvent]) -> list[Any]:
    """Return place, markets, number and begin of each loss."""
    return [(frames[e.row].seq, e.symbols, e.lost, e.since_us) for e in events if e.lost]


def by_columns(frames: Sequence[Frame], tracker: ChannelTracker) -> Any:
    """Read frames in columns, by their layouts."""
    table = pl.DataFrame([frame[:4] for frame in frames], FRAMES, orient="row")
    with mock.patch("candlewax.core.trades.decode.ONE_BY_ONE_FRAMES", 0):
        decoded = decode(BITFINEX, table, INSTRUMENTS, tracker)
    found = [
        (str(symbol), trade_id, frames[row].seq, index)
        for symbol, trade_id, row, index in decoded.trades.select(
            "symbol", "trade_id", "row", "source_index"
        ).iter_rows()
    ]
    letters = decoded.dead_letters.select("source_offset", "reason", "detail").rows()
    lost = lost_frames(frames, decoded.subscriptions)
    return found, letters, lost, decoded.bronze["kind"].to_list()


def read(way: Read, cuts: Sequence[int] = ()) -> Any:
    """Read all frames, in batches cut at these places, by one tracker."""
    assert BITFINEX.channels is not None
    frames = [
        Frame(RECEIVED_NS + n * SECOND_NS, connection, n, text, connection, 0, n)
        for n, (connection, text) in enumerate(TOLD)
    ]
    tracker = ChannelTracker(BITFINEX.channels)
    bounds = [0, *sorted(set(cuts)), len(frames)]
    parts = [way(frames[begin:end], tracker) for begin, end in pairwise(bounds)]
    return tuple([*chain.from_iterable(values)] for values in zip(*parts, strict=True))


WAYS = pytest.mark.parametrize("way", [by_rows, by_columns])


@WAYS
def test_frames_are_read_by_the_channels_before_them(way: Read) -> None:
    """Only channels of their own connection count, since it began."""
    trades, letters, lost, kinds = read(way)
    assert [trade[:3] for trade in trades] == [
        ("BTC/USD", "1", 4), ("SOL/USD", "3", 7), ("ETH/USD", "4", 11), ("ETH/USD", "4", 12),
        ("BTC/USD", "6", 16),
    ]  # fmt: skip
    unknown = "no subscription was acknowledged as channel {} of the connection before"
    told = [(seq, reason) for seq, reason, _ in letters]
    assert told == [
        (5, "unknown_channel"), (10, "bad_json"), (14, "unknown_channel"),
        (18, "unknown_channel"), (19, "unknown_channel"), (20, "bad_json"), (21, "bad_shape"),
    ]  # fmt: skip
    details = {seq: detail for seq, reason, detail in letters if reason == "unknown_channel"}
    assert details == {n: unknown.format(c) for n, c in ((5, 17), (14, 17), (18, 18), (19, 20))}
    since_us = RECEIVED_NS // 1000
    assert lost == [
        (7, ("SOL/USD",), 2, since_us + 6_000_000),
        (11, ("BTC/USD", "ETH/USD"), 3, since_us + 9_000_000),
    ]
    assert kinds[8] == 2


@given(cuts=st.lists(st.integers(1, len(TOLD) - 1), max_size=6))
def test_cuts_and_forms_of_batches_do_not_matter(cuts: list[int]) -> None:
    assert read(by_columns, cuts) == read(by_rows) == read(by_rows, cuts)


def test_earlier_frames_of_a_connection_are_loaded_once() -> None:
    """Unless its first frame begins it; numbers continue with the last of them."""
    assert BITFINEX.channels is not None
    asked: list[FramePlace] = []

    def earlier(place: FramePlace) -> list[tuple[int, str]]:
        asked.append(place)
        return [(1, HELLO), (2, ack(17, "tBTCUSD")), (3, "["), (4, '[17,"hb",40]')]

    tracker = ChannelTracker(BITFINEX.channels, earlier)
    place, new = FramePlace("s", "a", 9_000, 3), FramePlace("s", "b", 9_000, 0)
    symbol, event = tracker.follow_trade(0, place, "17", "43")
    assert symbol == "tBTCUSD"
    assert event is not None
    assert (event.symbols, event.lost, event.since_us) == (("tBTCUSD",), 2, 4)
    assert tracker.follow_trade(1, place, "17", "44") == ("tBTCUSD", None)
    tracker.follow(2, new, json.loads(HELLO))
    assert tracker.follow_trade(3, new, "17", "1") == (None, None)
    assert asked == [place]


def test_frames_can_be_followed_again_from_a_saved_state() -> None:
    """As when reading them failed half way."""
    assert BITFINEX.channels is not None
    tracker, place = ChannelTracker(BITFINEX.channels), FramePlace("s", "a", 9_000, 3)
    tracker.follow(0, place, json.loads(ack(17, "tBTCUSD")))
    tracker.follow_trade(1, place, "17", "1")
    saved = tracker.save()
    first = tracker.follow_trade(2, place, "17", "5")
    tracker.follow(3, place, json.loads(ack(17, "tETHUSD")))
    tracker.reset(saved)
    assert tracker.follow_trade(2, place, "17", "5") == first
    assert first[1] is not None
