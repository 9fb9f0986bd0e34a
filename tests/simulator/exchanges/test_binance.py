"""The simulated Binance as its clients see it."""

import asyncio
import base64
import json
from typing import Any

import pytest

from candlewax.simulator.plan import ExchangeLimits, FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support import decoding
from tests.support.simulator_clients import (
    PATIENCE,
    Listener,
    listen,
    published_trades,
    received_trades,
    wait_until,
)

BOTH = ("binance", "binance_usdm")
each = pytest.mark.parametrize("exchange", BOTH)


async def answers(exchange: str, *messages: Any) -> list[Any]:
    """Send each message and return its answer."""
    async with (
        Simulator(Plan(starts_paused=True)) as simulator,
        listen(simulator, exchange) as listener,
    ):
        replies = []
        for message in messages:
            await listener.send(message)
            replies.append(await listener.next())
        assert set(decoding.kinds(exchange, *listener.texts)) == {"control"}
        return replies


@each
def test_each_request_is_answered_with_its_id(exchange: str) -> None:
    """Subscriptions are listed, including those of unknown streams."""
    names = ["btcusdt@trade", "nonsense@trade"]
    replies = asyncio.run(
        answers(
            exchange,
            {"method": "SUBSCRIBE", "params": names, "id": 1},
            {"method": "LIST_SUBSCRIPTIONS", "id": "two"},
            {"method": "UNSUBSCRIBE", "params": names[:1], "id": None},
            {"method": "LIST_SUBSCRIPTIONS", "id": 4},
        )
    )
    assert replies == [
        {"result": None, "id": 1},
        {"result": names, "id": "two"},
        {"result": None, "id": None},
        {"result": names[1:], "id": 4},
    ]


@pytest.mark.parametrize(
    ("message", "code", "number"),
    [
        ("nonsense", 3, None),
        ("[]", 2, None),
        ({"id": 7}, 2, 7),
        ({"method": "DANCE", "id": 8}, 2, 8),
        ({"method": "SUBSCRIBE", "params": "btcusdt@trade", "id": 9}, 2, 9),
        ({"method": "SUBSCRIBE", "params": [1], "id": 9}, 2, 9),
    ],
)
def test_malformed_request_gets_an_error_with_its_id(
    message: Any, code: int, number: int | None
) -> None:
    """The next request on the connection is answered."""
    error, ack = asyncio.run(
        answers("binance", message, {"method": "SUBSCRIBE", "params": [], "id": 10})
    )
    assert error["error"]["code"] == code
    assert error["error"]["msg"].startswith("Invalid ")
    assert error["id"] == number
    assert ack == {"result": None, "id": 10}


async def play(path: str, exchange: str = "binance") -> tuple[Listener, Simulator]:
    """Play 500 trades to a connection with its streams in its address."""
    plan = Plan(rate=20_000, trades=500, starts_paused=True)
    async with Simulator(plan) as simulator:
        url = f"ws://127.0.0.1:{simulator.port}{path}"
        async with listen(simulator, exchange, url) as listener:
            simulator.begin()
            await simulator.ended()
            await listener.catch_up()
            return listener, simulator


@pytest.mark.parametrize(
    ("path", "is_bare", "unit_us"),
    [
        ("/binance/stream?streams=btcusdt@trade/ethusdt@trade", False, 1000),
        ("/binance/ws/btcusdt@trade/ethusdt@trade", True, 1000),
        ("/binance/stream?streams=btcusdt@trade/ethusdt@trade&timeUnit=MICROSECOND", False, 1),
        ("/binance/ws/btcusdt@trade/ethusdt@trade?timeUnit=microsecond", True, 1),
    ],
)
def test_streams_can_be_named_in_the_address(path: str, is_bare: bool, unit_us: int) -> None:
    """Frames have an envelope or not, and times in the unit that the address names."""
    listener, simulator = asyncio.run(play(path))
    expected = [
        entry
        for entry in simulator.journal
        if entry.trade.market.native_symbol in ("BTCUSDT", "ETHUSDT")
    ]
    assert received_trades(listener) == published_trades(expected, "binance", unit_us)
    first = json.loads(listener.texts[0])
    assert (first.keys() == {"stream", "data"}) != is_bare
    trade = first if is_bare else first["data"]
    assert trade["e"] == "trade"
    assert len(str(trade["E"])) == len(str(trade["T"])) == (13 if unit_us == 1000 else 16)


def test_unsubscribed_stream_sends_nothing() -> None:
    """Nor does a stream whose name is not lowercase."""

    async def leave() -> None:
        plan = Plan(rate=20_000, trades=500, starts_paused=True)
        async with Simulator(plan) as simulator, listen(simulator, "binance") as listener:
            await listener.subscribe("BTCUSDT", "ETHUSDT")
            await listener.send({"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 2})
            await listener.send({"method": "SUBSCRIBE", "params": ["SOLUSDT@trade"], "id": 3})
            await listener.until(lambda text: '"id":3' in text)
            simulator.begin()
            await simulator.ended()
            await listener.catch_up()
            assert {name for name, *_ in received_trades(listener)} == {"ETHUSDT"}

    asyncio.run(leave())


def test_refused_symbol_is_acknowledged_and_sends_nothing() -> None:
    """Binance acknowledges any name."""

    async def receive() -> None:
        plan = Plan(
            rate=20_000, trades=500, starts_paused=True, fault_rates=FaultRates(refuse=("BTCUSDT",))
        )
        async with Simulator(plan) as simulator, listen(simulator, "binance") as listener:
            simulator.refuse("SOLUSDT")
            await listener.subscribe("BTCUSDT", "ETHUSDT", "SOLUSDT")
            simulator.begin()
            await simulator.ended()
            await listener.catch_up()
            assert {name for name, *_ in received_trades(listener)} == {"ETHUSDT"}

    asyncio.run(receive())


@each
def test_connection_with_too_many_messages_is_closed(exchange: str) -> None:
    """More than five messages within a second, with code 1008."""

    async def chat() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, exchange) as listener,
        ):
            for number in range(60):
                listener.connection.protocol.send_text(
                    json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}).encode()
                )
            listener.connection.send_data()
            assert await listener.closed() == (1008, "Too many requests")
            assert 5 <= len(listener.texts) < 60

    asyncio.run(chat())


@pytest.mark.parametrize("count", [1024, 1025])
def test_connection_with_too_many_streams_is_closed(count: int) -> None:
    """1024 streams are accepted, and one more closes it with code 1008."""

    async def ask() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "binance") as listener,
        ):
            streams = [f"a{number}usdt@trade" for number in range(count)]
            await listener.send({"method": "SUBSCRIBE", "params": streams, "id": 1})
            if count == 1024:
                assert await listener.next() == {"result": None, "id": 1}
            else:
                assert await listener.closed() == (1008, "Too many streams")

    asyncio.run(ask())


@pytest.mark.parametrize("path", ["/binance/stream", "/binance/ws"])
def test_old_connection_is_closed_after_a_notice(path: str) -> None:
    """The notice is a control frame in the form of the connection."""

    async def wait() -> None:
        limits = ExchangeLimits(age=0.2, notice=0.1)
        async with Simulator(Plan(starts_paused=True, limits=limits)) as simulator:
            url = f"ws://127.0.0.1:{simulator.port}{path}"
            async with listen(simulator, "binance", url) as listener:
                event = await listener.next()
                event = event["event"] if path.endswith("stream") else event
                assert event.keys() == {"e", "E"}
                assert event["e"] == "serverShutdown"
                assert decoding.kinds("binance", *listener.texts) == ["control"]
                assert (await listener.closed())[0] == 1001

    asyncio.run(wait())


def test_announced_end_is_sent_to_clients() -> None:
    """As a serverShutdown event."""

    async def announce() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "binance") as listener,
        ):
            simulator.announce_end("binance")
            assert "serverShutdown" in await listener.next_text()

    asyncio.run(announce())


HANDSHAKE = (
    "GET /{}/stream?streams=btcusdt@trade HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n"
)


@each
def test_client_that_answers_no_pings_is_dropped(exchange: str) -> None:
    """Without a close frame, after one ping."""

    async def ignore() -> bytes:
        limits = ExchangeLimits(ping_every=0.01, pong_within=0.05)
        async with Simulator(Plan(starts_paused=True, limits=limits)) as simulator:
            reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
            key = base64.b64encode(bytes(16)).decode()
            writer.write(HANDSHAKE.format(exchange, key).encode())
            async with asyncio.timeout(PATIENCE):
                assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
                rest = await reader.read()
            writer.close()
            await writer.wait_closed()
            return rest

    ping = asyncio.run(ignore())
    # A final ping of four bytes, and nothing after it.
    assert ping[:2] == bytes((0x89, 4))
    assert len(ping) == 6


def test_client_that_answers_pings_stays_connected() -> None:
    """The client's library answers each ping."""

    async def answer() -> None:
        limits = ExchangeLimits(ping_every=0.01, pong_within=PATIENCE)
        plan = Plan(starts_paused=True, limits=limits)
        async with Simulator(plan) as simulator, listen(simulator, "binance") as listener:
            (client,) = simulator.connections()
            await wait_until(lambda: client.pongs >= 3)
            await listener.catch_up()

    asyncio.run(answer())
