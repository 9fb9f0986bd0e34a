"""Websockets as a source: frames verbatim, bounded memory, a polite end."""

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
from candlewax.core.schema import FRAMES, KIND_CONTROL
from candlewax.core.trades.decode import decode, reject_invalid_utf8
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.websocket.event_loop import EventLoopError
from candlewax.feeds.websocket.source import MAX_WAIT, WebSocketSource
from candlewax.runtime.counters import Counters
from candlewax.runtime.emit_gate import ALWAYS, STEP, EmitGate
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


def test_frames_come_verbatim_in_order_and_numbered() -> None:
    """What the exchange sends is what is emitted, under the columns of frames."""
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


def test_batches_have_the_columns_of_frames() -> None:
    """A batch is a table of frames, as from any other source."""

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
    assert dict(items[0].frames.schema) == FRAMES


@pytest.mark.parametrize("linger", [None, timedelta(seconds=8)])
def test_what_comes_waits_for_others_as_long_as_is_asked_for(linger: timedelta | None) -> None:
    """Where nothing is asked for, for a moment."""

    async def talk(connection: ServerConnection, _: int) -> None:
        await connection.wait_closed()

    with running(Exchange(talk)) as (server, _):
        source = WebSocketSource(
            BTC, {"binance": server.url}, Counters(), lambda: False,
            rules=quick("binance"), timeouts=QUICK, max_wait=linger,
        )  # fmt: skip
        part = source.build_part("feed", "binance-0", None)
        before = time.monotonic()
        part.next_batch()
        looks_at, after = time.monotonic() + part.poll_timer.remaining_s, time.monotonic()
        part.close()
    waited = (linger or MAX_WAIT).total_seconds()
    assert before + waited <= looks_at <= after + waited + STEP.total_seconds() + 1e-3
    assert part.next_awake() == ALWAYS


def test_a_held_source_keeps_what_comes() -> None:
    """Until it is let go; nothing is lost by it."""
    held, turns = True, EmitGate()
    turns.add_backpressure(lambda: held)
    said: list[int] = []

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        for number in range(3):
            await connection.send(trade(number))
        said.append(3)
        await connection.wait_closed()

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance"), emit_gate=turns) as reader,
    ):
        reader.until(lambda: said)
        assert reader.rows == []
        held = False
        reader.until(lambda: len(reader.frames) == 4)
        reader.finish()
    assert reader.frames[1:] == [trade(number) for number in range(3)]


def test_binary_messages_are_text_or_garbled() -> None:
    """Bytes that are UTF-8 are text; all others keep their bytes and are dead letters."""

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        await connection.send(trade(1).encode())
        await connection.send(b"\xff\xfe{}")
        # A text frame whose bytes are no UTF-8 does not end the connection either.
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


def test_what_finds_no_room_is_counted_and_said() -> None:
    """Beyond the bound frames are dropped, none that is queued; the loss is an event."""
    total = 2000

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        for number in range(total):
            await connection.send(trade(number))
        await connection.wait_closed()

    def accounted(reader: Reader) -> int:
        came = sum(map(len, ids(reader).values()))
        return came + sum(int(event["lost"]) for event in reader.events("overflow"))

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance"), buffer_bytes=100_000) as reader,
    ):
        queue = reader.parts[0]._queue  # noqa: SLF001 - nobody takes for now
        deadline = time.monotonic() + 60
        while (held := sum(len(row[3]) + 200 for row in list(queue.rows))) < 99_000:
            assert time.monotonic() < deadline, held
            time.sleep(0.01)
        assert held < 101_000
        reader.until(lambda: accounted(reader) == total)
        reader.finish()
    lost = reader.tally.total("lost", "binance")
    assert sum(event["lost"] for event in reader.events("overflow")) == lost > 0
    came = [number for numbers in ids(reader).values() for number in numbers]
    assert len(came) + lost == total
    assert came[:100] == list(range(100))
    assert reader.numbers()["binance-0"] == list(range(len(reader.rows)))


def test_stopping_closes_politely_and_keeps_what_came() -> None:
    """All that was received before the end is emitted, then the source ends."""
    goodbye: list[Any] = []

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        for number in range(500):
            await connection.send(trade(number))
        await connection.wait_closed()
        goodbye.append(connection.close_code)

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance")) as reader,
    ):
        queue = reader.parts[0]._queue  # noqa: SLF001 - all came, none is taken
        deadline = time.monotonic() + 60
        while len(queue.rows) < 503:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        reader.finish()
        while not goodbye:
            time.sleep(0.01)
    assert [number for numbers in ids(reader).values() for number in numbers] == list(range(500))
    assert goodbye == [1000]
    assert '"disconnected"' in reader.rows[-1][3]


def test_a_mistake_of_ours_ends_the_feed_with_its_cause() -> None:
    """A dead thread is not silence."""

    def hear(_: str) -> Any:
        raise ZeroDivisionError("a mistake")

    async def talk(connection: ServerConnection, _: int) -> None:
        await acknowledge(connection)
        await connection.wait_closed()

    with (
        running(Exchange(talk)) as (server, _),
        Reader(BTC, {"binance": server.url}, quick("binance", parse_control=hear)) as reader,
        pytest.raises(EventLoopError) as raised,
    ):
        reader.until(lambda: False)
    assert "ZeroDivisionError" in repr(raised.value.__cause__)


def test_a_dataflow_ends_when_it_is_to_stop() -> None:
    """In a dataflow the parts share one thread, and the run ends by itself."""
    stop: list[str] = []

    async def talk(connection: ServerConnection, number: int) -> None:
        await acknowledge(connection)
        await connection.send(trade(number))
        await connection.wait_closed()

    def watch(item: SourceItem) -> SourceItem:
        assert isinstance(item, FrameBatch)
        stop.extend(frame for frame in item.frames["frame"] if '"trade"' in frame)
        return item

    with running(Exchange(talk)) as (server, _):
        source = WebSocketSource(
            {"binance": ["BTCUSDT", "ETHUSDT"]},
            {"binance": server.url},
            Counters(),
            lambda: len(stop) == 2,
            per_connection={"binance": 1},
            rules=quick("binance"),
            timeouts=QUICK,
        )
        items: list[SourceItem] = []
        flow = Dataflow("live")
        op.output("out", op.map("watch", op.input("feed", flow, source), watch), TestingSink(items))
        run_main(flow)
    assert len(stop) == 2
    texts = [
        text for item in items if isinstance(item, FrameBatch) for text in item.frames["frame"]
    ]
    assert sum('"disconnected"' in text for text in texts) == 2


@pytest.mark.parametrize("exchange", list(EXCHANGES))
def test_events_are_control_frames(exchange: str) -> None:
    """What happens to a connection is stored with its frames and is no dead letter."""
    with Reader({exchange: ["A"]}, {exchange: "ws://127.0.0.1:1"}, quick(exchange)) as reader:
        reader.until(lambda: reader.events("failed"))
        reader.finish()
    frames = pl.DataFrame(reader.rows, schema=FRAMES, orient="row")
    decoded = decode(EXCHANGES[exchange], frames, Instruments({}))
    assert set(decoded.bronze["kind"]) == {KIND_CONTROL}
    assert decoded.dead_letters.is_empty()
