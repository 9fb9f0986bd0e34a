"""Trades read from the normalized topic, with outages."""

import json
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.core.batch import Batch
from candlewax.core.frames import FrameBatch
from candlewax.core.schema import FRAMES
from candlewax.core.trades.decode import DecodedFrames
from candlewax.kafka.trade_messages import MessageValues, concat
from candlewax.pipeline.steps import route
from candlewax.pipeline.steps.deduplicate import DeduplicateStep
from candlewax.pipeline.steps.route import ReadTradesStep, RouteStep
from candlewax.runtime.counters import Counters
from tests.support.batches import as_columns, decoded_as_columns
from tests.support.decoding import INSTRUMENTS
from tests.support.trade_messages import trade


def messages(*values: Any) -> MessageValues:
    """Messages of the topic with these values."""
    encoded = [json.dumps(value).encode() for value in values]
    return MessageValues("t", 0, list(range(len(values))), encoded)


def test_outages_go_to_their_exchange() -> None:
    """They are carried by trades."""
    read = ReadTradesStep(["binance", "kraken"])
    decoded_by_exchange = read(
        messages(
            trade(outages=[[1, 2]]),
            trade(exchange="kraken", outages=[[3, 4], [5, 6]]),
            trade(exchange="coinbase", outages=[[7, 8]]),
            trade(trade_id="8", sequence=8),
        )
    )
    outages = {
        exchange: decoded_as_columns(decoded).outages.rows()
        for exchange, decoded in decoded_by_exchange
    }
    assert outages == {"binance": [(1, 2)], "kraken": [(3, 4), (5, 6)]}


def test_process_that_reads_trades_finds_outages_and_missing_ranges(tables: Database) -> None:
    """As the process that stored them does, without writing gaps."""
    read = ReadTradesStep(["binance"])
    step = DeduplicateStep(StateLoader(tables), Counters(), None, stores=False)
    values = [trade(trade_id=str(n), sequence=n) for n in (3, 9, 4)]
    values[1]["outages"] = [[1, 2]]
    ((_, decoded),) = read(messages(*values))
    (batch,) = as_columns(step.on_batch([decoded])[0])
    assert batch.gap_state.outages.rows() == [(1, 2)]
    at = values[0]["timestamp"]
    assert batch.gap_state.missing_ranges.rows() == [("BTC/USDT", 5, 8, at, at)]
    assert batch.gap_state.first_seen.rows() == [("BTC/USDT", 3, at)]
    assert set(batch.tables) == {"dead_letters"}


def test_pieces_of_messages_are_concatenated() -> None:
    """In order, with their offsets and faults."""
    first = MessageValues("t", 1, [5, 6], [json.dumps(trade()).encode(), b""])
    second = MessageValues("t", 1, [9], [b"no trade"])
    (whole,) = concat([first, second])
    assert whole == MessageValues("t", 1, [5, 6, 9], [*first.values, b"no trade"])
    (_, unread), (_, read) = ReadTradesStep(["binance"])(whole)
    assert isinstance(unread, DecodedFrames)
    assert unread.dead_letters["source_offset"].to_list() == [6, 9]
    assert unread.dead_letters["frame"].to_list() == [b"", b"no trade"]
    assert len(read.trades) == 1


@pytest.mark.parametrize(("characters", "fits"), [(5, True), (6, False)])
def test_frame_too_long_for_a_message_in_bytes_is_a_dead_letter(
    monkeypatch: pytest.MonkeyPatch, characters: int, fits: bool
) -> None:
    """A character may be several bytes; the frames beside it are sent."""
    monkeypatch.setattr(route, "MAX_MESSAGE_BYTES", 10)
    rows = [(7, "c", 1, "\u00e9" * characters), (8, "c", 2, "0123456789")]
    frames = FrameBatch("binance", pl.DataFrame(rows, FRAMES, orient="row"))
    found = RouteStep(INSTRUMENTS, ["binance"], Counters())(frames)
    sent = [item for _, item in found if isinstance(item, FrameBatch)]
    dead = [item for _, item in found if isinstance(item, Batch)]
    assert [one.frames["seq"].to_list() for one in sent] == [[1, 2] if fits else [2]]
    letters = [one.tables["dead_letters"].select("source_offset", "reason").rows() for one in dead]
    assert letters == ([] if fits else [[(1, "too_large")]])
