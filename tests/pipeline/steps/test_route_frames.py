"""Frames go to the topic of their exchange, or aside."""

from typing import Any

import polars as pl

from candlewax.core.batch import UNKNOWN_EXCHANGE
from candlewax.core.frame_log import line_dead_letters
from candlewax.core.frames import FrameBatch, InvalidUtf8Frames, SourceItem, UnreadableLines
from candlewax.core.schema import FRAMES
from candlewax.kafka.topics import MAX_MESSAGE_BYTES
from candlewax.pipeline.steps.route import RouteStep
from candlewax.runtime.counters import Counters
from tests.support.decoding import INSTRUMENTS


def frames(*texts: str) -> pl.DataFrame:
    """Frames of one connection."""
    return pl.DataFrame([(n, "c", n, text) for n, text in enumerate(texts)], FRAMES, orient="row")


def routed(item: SourceItem) -> list[tuple[str, Any]]:
    """Where an item goes."""
    return list(RouteStep(INSTRUMENTS, ["binance", "kraken"], Counters())(item))


def test_frames_are_routed_to_the_topic_of_their_exchange() -> None:
    """Unchanged, readable or not."""
    received, garbled = (
        FrameBatch("kraken", frames("x")),
        InvalidUtf8Frames("binance", frames("x"), [b""], [""]),
    )
    assert routed(received) == [("kraken", received)]
    assert routed(garbled) == [("binance", garbled)]
    assert routed(FrameBatch("coinbase", frames("x"))) == []


def test_frames_without_a_topic_become_dead_letters() -> None:
    """Lines without a frame, unknown exchanges, and frames that are too long."""
    letters = line_dead_letters("log", [(0, "bad_line", "why", b"x")])
    ((key, lines),) = routed(UnreadableLines(letters))
    assert (key, lines.tables["dead_letters"]["reason"].to_list()) == (
        UNKNOWN_EXCHANGE,
        ["bad_line"],
    )
    ((key, unknown),) = routed(FrameBatch("nasdaq", frames("a", "b")))
    assert key == UNKNOWN_EXCHANGE
    assert unknown.tables["bronze_frames"].height == 2
    assert unknown.tables["dead_letters"]["reason"].to_list() == ["unknown_exchange"] * 2
    (aside, kept) = routed(FrameBatch("kraken", frames("x", "y" * (MAX_MESSAGE_BYTES + 1))))
    assert aside[1].tables["dead_letters"]["reason"].to_list() == ["too_large"]
    assert (kept[0], kept[1].frames["frame"].to_list()) == ("kraken", ["x"])
