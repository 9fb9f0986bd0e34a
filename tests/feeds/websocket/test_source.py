"""Websocket source: verbatim frames, bounded memory and an orderly end."""

import time
from datetime import timedelta
from typing import Any

import bytewax.operators as op
import polars as pl
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main
from websockets.asyncio.server import ServerConnection

from candlewax.core.frames import FrameBatch, SourceItem
from candlewax.core.instruments import Instruments
from candlewax.core.schema import FRAMES, KIND_CONTROL, SOURCE
from candlewax.core.trades.decode import decode, reject_invalid_utf8
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.websocket.event_loop import EventLoopError
from candlewax.feeds.websocket.source import MAX_WAIT, WebSocketSource
from candlewax.runtime.counters import Counters
from candlewax.runtime.emit_gate import EmitGate
from candlewax.runtime.poll_timer import ALWAYS
from tests.support.exchange_server import (
    QUICK,
    Exchange,
    Reader,
    acknowledge,
    ids,
    quick,
    running,
    trade,
)

BTC = {"binance": ["BTCUSDT"]}


def test_frames_are_emitted_verbatim_in_order_and_numbered() -> None:
    sent = [trade(1), '{"e" : "depthUpdate",\t"x":"é\\u00e9𝄞"}', "", "no JSON at all", trade(2)]

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        for frame in sent:
            await connection.send(frame)
        await connection.wait_closed()

    before = time.time_ns()
    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance")) as reader,
    ):
        reader.until(lambda: len(reader.frames) == 6)
        reader.finish()
    assert reader.frames == ['{"result":null,"id":1}', *sent]
    assert reader.numbers() == {"binance-0": list(range(len(reader.rows)))}
    times = [row[0] for row in reader.rows]
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= time.time_ns()


def test_batch_has_the_columns_of_frames() -> None:
    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        await connection.wait_closed()

    with running(Exchange(talk)) as (server, _):
        source = WebSocketSource(
            BTC,
            {"binance": server.url},
            Counters(),
            lambda: False,
            rules=quick("binance"),
            timeouts=QUICK,
        )
        part = source.build_part("feed", "binance-0", None)
        items: list[SourceItem] = []
        while not items:
            items += part.next_batch()
        part.close()
    assert isinstance(items[0], FrameBatch)
    assert dict(items[0].frames.schema) == {**FRAMES, **SOURCE}


@pytest.mark.parametrize("max_wait", [None, timedelta(seconds=8)])
def test_source_waits_between_two_batches_as_long_as_configured(max_wait: timedelta | None) -> None:
    """Without a setting, MAX_WAIT."""

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        await connection.wait_closed()

    with running(Exchange(talk)) as (server, _):
        source = WebSocketSource(
            BTC, {"binance": server.url}, Counters(), lambda: False,
            rules=quick("binance"), timeouts=QUICK, max_wait=max_wait,
        )  # fmt: skip
        part = source.build_part("feed", "binance-0", None)
        assert part.poll_timer.remaining_s == 0
        before = time.monotonic()
        while not part.next_batch():
            pass
        due_at, after = time.monotonic() + part.poll_timer.remaining_s, time.monotonic()
        part.close()
    assert before <= due_at - (max_wait or MAX_WAIT).total_seconds() <= after
    assert part.next_awake() == ALWAYS


def test_source_under_backpressure_keeps_frames_and_emits_them_later() -> None:
    is_held, emit_gate = True, EmitGate()
    emit_gate.add_backpressure(lambda: is_held)
    sent_counts: list[int] = []

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        for number in range(3):
            await connection.send(trade(number))
        sent_counts.append(3)
        await connection.wait_closed()

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance"), emit_gate=emit_gate) as reader,
    ):
        reader.until(lambda: sent_counts)
        assert reader.rows == []
        is_held = False
        reader.until(lambda: len(reader.frames) == 4)
        reader.finish()
    assert reader.frames[1:] == [trade(number) for number in range(3)]


def test_binary_message_is_text_if_utf8_and_else_a_dead_letter() -> None:
    """The dead letter keeps the bytes."""

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        await connection.send(trade(1).encode())
        await connection.send(b"\xff\xfe{}")
        # A text frame with invalid UTF-8 does not end the connection either.
        connection.protocol.send_text(b'"\xc3"')
        connection.send_data()
        await connection.send(trade(2))
        await connection.wait_closed()

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance")) as reader,
    ):
        reader.until(lambda: trade(2) in reader.frames)
        reader.finish()
    assert reader.frames[1:] == [trade(1), trade(2)]
    values = [value for garbled in reader.garbled for value in garbled.values]
    assert values == [b"\xff\xfe{}", b'"\xc3"']
    garbled = reader.garbled[0]
    assert garbled.frames["frame"][0] == "\\xff\\xfe{}"
    assert "invalid start byte" in garbled.details[0]
    decoded = reject_invalid_utf8(garbled.exchange, garbled.frames, garbled.values, garbled.details)
    assert decoded.dead_letters["frame"][0] == values[0]


def test_frames_beyond_the_memory_budget_are_dropped_counted_and_reported() -> None:
    """Queued frames are kept."""
    total = 2000

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        for number in range(total):
            await connection.send(trade(number))
        await connection.wait_closed()

    def accounted(reader: Reader) -> int:
        received = sum(map(len, ids(reader).values()))
        return received + sum(int(event["lost"]) for event in reader.events("overflow"))

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance"), buffer_bytes=100_000) as reader,
    ):
        queue = reader.parts[0]._queue  # noqa: SLF001 - no frame is taken yet
        deadline = time.monotonic() + 60
        while (queued_bytes := sum(len(row[3]) + 200 for row in list(queue.rows))) < 99_000:
            assert time.monotonic() < deadline, queued_bytes
            time.sleep(0.01)
        assert queued_bytes < 101_000
        reader.until(lambda: accounted(reader) == total)
        reader.finish()
    lost = reader.tally.total("lost", "binance")
    assert sum(event["lost"] for event in reader.events("overflow")) == lost > 0
    received = [number for numbers in ids(reader).values() for number in numbers]
    assert len(received) + lost == total
    assert received[:100] == list(range(100))
    assert reader.numbers()["binance-0"] == list(range(len(reader.rows)))


def test_stop_closes_connections_and_emits_every_received_frame() -> None:
    """The close code is 1000."""
    close_codes: list[Any] = []

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        for number in range(500):
            await connection.send(trade(number))
        await connection.wait_closed()
        close_codes.append(connection.close_code)

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance")) as reader,
    ):
        queue = reader.parts[0]._queue  # noqa: SLF001 - all are received, none is taken
        deadline = time.monotonic() + 60
        while len(queue.rows) < 503:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        reader.finish()
        while not close_codes:
            time.sleep(0.01)
    assert [number for numbers in ids(reader).values() for number in numbers] == list(range(500))
    assert close_codes == [1000]
    assert '"disconnected"' in reader.rows[-1][3]


def test_exception_in_the_event_loop_ends_the_feed_with_its_cause() -> None:
    """A dead thread must not look like silence."""

    def parse_control(_: str) -> Any:
        raise ZeroDivisionError("a defect")

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        await connection.wait_closed()

    with (
        running(Exchange(talk)) as (server, _),
        Reader(
            BTC, {"binance": server.url}, quick("binance", parse_control=parse_control)
        ) as reader,
        pytest.raises(EventLoopError) as raised,
    ):
        reader.until(lambda: False)
    assert "ZeroDivisionError" in repr(raised.value.__cause__)


def test_dataflow_ends_when_the_source_is_stopped() -> None:
    """The parts share one event loop thread."""
    trade_frames: list[str] = []

    async def talk(connection: ServerConnection, number: int) -> None:
        await acknowledge(connection)
        await connection.send(trade(number))
        await connection.wait_closed()

    def watch(item: SourceItem) -> SourceItem:
        assert isinstance(item, FrameBatch)
        trade_frames.extend(frame for frame in item.frames["frame"] if '"trade"' in frame)
        return item

    with running(Exchange(talk)) as (server, _):
        source = WebSocketSource(
            {"binance": ["BTCUSDT", "ETHUSDT"]},
            {"binance": server.url},
            Counters(),
            lambda: len(trade_frames) == 2,
            per_connection={"binance": 1},
            rules=quick("binance"),
            timeouts=QUICK,
        )
        items: list[SourceItem] = []
        flow = Dataflow("live")
        op.output("out", op.map("watch", op.input("feed", flow, source), watch), TestingSink(items))
        run_main(flow)
    assert len(trade_frames) == 2
    texts = [
        text for item in items if isinstance(item, FrameBatch) for text in item.frames["frame"]
    ]
    assert sum('"disconnected"' in text for text in texts) == 2


@pytest.mark.parametrize("exchange", list(EXCHANGES))
def test_connection_events_are_control_frames(exchange: str) -> None:
    with Reader({exchange: ["A"]}, {exchange: "ws://127.0.0.1:1"}, quick(exchange)) as reader:
        reader.until(lambda: reader.events("failed"))
        reader.finish()
    frames = pl.DataFrame(reader.rows, schema=FRAMES, orient="row")
    decoded = decode(EXCHANGES[exchange], frames, Instruments({}))
    assert set(decoded.bronze["kind"]) == {KIND_CONTROL}
    assert decoded.dead_letters.is_empty()
