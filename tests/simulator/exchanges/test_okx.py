"""The simulated OKX as its clients see it."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from candlewax.exchanges.okx import OKX
from candlewax.exchanges.okx_markets import MARKETS
from candlewax.exchanges.protocol.markets import ListedMarket
from candlewax.exchanges.protocol.rest import Cursor
from candlewax.simulator.plan import ExchangeLimits, FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support.decoding import read
from tests.support.simulator_clients import key, listen
from tests.support.simulator_rest import ask, ask_all

PLAYED = Plan(rate=50_000, trades=6_000)


def market_ids(journal: Any, native_symbol: str) -> list[int]:
    return [
        entry.trade.trade_id
        for entry in journal
        if (entry.trade.market.exchange, entry.trade.market.native_symbol) == ("okx", native_symbol)
    ]


def test_each_argument_is_answered_by_itself() -> None:
    """With the id of the request; a repeated one is acknowledged again."""

    async def subscribe() -> None:
        plan = Plan(starts_paused=True, fault_rates=FaultRates(refuse=("BTC-USDT-SWAP",)))
        async with Simulator(plan) as simulator, listen(simulator, "okx") as listener:
            await listener.send(OKX.live.subscribe(["BTC-USDT", "BTC-USDT-SWAP"], 7))
            ack, refusal = await listener.next(), await listener.next()
            assert ack["arg"] == {"channel": "trades-all", "instId": "BTC-USDT"}
            assert (ack["id"], ack["event"]) == ("7", "subscribe")
            assert (refusal["id"], refusal["event"], refusal["code"]) == ("7", "error", "60018")
            assert "instId:BTC-USDT-SWAP doesn't exist" in refusal["msg"]
            await listener.send(OKX.live.subscribe(["BTC-USDT"], 8))
            assert (await listener.next())["id"] == "8"
            assert simulator.subscribed("okx") == {"BTC-USDT"}
            await listener.send({"op": "unsubscribe", "args": [ack["arg"]]})
            assert (await listener.next())["event"] == "unsubscribe"
            assert not simulator.subscribed("okx")

    asyncio.run(subscribe())


@pytest.mark.parametrize("message", ["[]", "{", '{"op":"login","args":[]}', '{"op":"subscribe"}'])
def test_invalid_request_is_an_error(message: str) -> None:
    async def send() -> None:
        async with (
            Simulator(Plan(starts_paused=True)) as simulator,
            listen(simulator, "okx") as listener,
        ):
            await listener.send(message)
            answer = await listener.next()
            assert (answer["event"], answer["code"]) == ("error", "60012")
            await listener.send("ping")
            assert await listener.next_text() == "pong"

    asyncio.run(send())


def test_silent_connection_is_closed() -> None:
    async def wait() -> None:
        plan = Plan(starts_paused=True, limits=ExchangeLimits(idle=0.01))
        async with Simulator(plan) as simulator, listen(simulator, "okx") as listener:
            assert await listener.closed() == (4004, "No data received in 30s.")

    asyncio.run(wait())


def test_rest_shows_the_trades_before_an_id() -> None:
    """Those that the product asks for, newest first, equal in every field to what was played."""

    async def page() -> None:
        async with Simulator(PLAYED) as simulator:
            await simulator.ended()
            native_symbol = "BTC-USDT"
            ids = market_ids(simulator.journal, native_symbol)
            paths = [
                OKX.rest.trades_path(native_symbol, Cursor(ids[3]), 5),
                OKX.rest.latest_path(native_symbol, 100),
                OKX.rest.trades_path(native_symbol, Cursor(ids[-1] + 1), 100),
            ]
            first, latest, beyond = [await ask(simulator, f"/okx{path}") for path in paths]
            shown = [int(row["tradeId"]) for row in first.json["data"]]
            assert shown == list(reversed(ids[3:8]))
            assert OKX.rest.parse_page(first.json).numbers == ids[3:8]
            assert OKX.rest.parse_page(latest.json).numbers == ids[-100:]
            # Numbers beyond the last are not shown: the newest trades come instead.
            assert OKX.rest.parse_page(beyond.json).numbers == ids[-100:]
            text = json.dumps(latest.json, default=str)
            (trade, *_) = read("okx", text, connection=f"rest/{native_symbol}").trades.rows(
                named=True
            )
            entry = next(e for e in simulator.journal if e.trade.trade_id == int(trade["trade_id"]))
            _, _, time_us, price, quantity, bought = key(entry, 1000)
            assert (trade["price"], trade["quantity"]) == (Decimal(price), Decimal(quantity))
            assert trade["timestamp"].timestamp() == pytest.approx(time_us / 1e6, abs=1e-7)
            assert (trade["side"] == 1) == bought

    asyncio.run(page())


def test_markets_are_listed_with_the_size_of_contracts() -> None:
    replies, _ = ask_all(
        *(f"/okx{path}" for path in MARKETS.paths), plan=Plan(rate=50_000, trades=10)
    )
    spot, swap = MARKETS.parse([reply.json for reply in replies])
    assert isinstance(spot, ListedMarket)
    assert isinstance(swap, ListedMarket)
    assert (spot.symbol, spot.contract_size, spot.tick) == ("BTC/USDT", None, "0.1")
    assert (swap.symbol, swap.contract_size, swap.contract_unit) == (
        "BTC/USDT:USDT",
        "0.01",
        "BTC",
    )
    assert spot.turnover
    assert swap.turnover


def test_rest_refusals_are_read() -> None:
    path = "/okx/api/v5/market/history-trades"
    (unknown, invalid, limited), _ = ask_all(
        f"{path}?instId=NOPE-USDT", f"{path}?instId=BTC-USDT&limit=x", path,
        plan=Plan(rate=50_000, trades=10),
    )  # fmt: skip
    kinds = [OKX.rest.parse_error(reply.status, reply.json) for reply in (unknown, invalid)]
    assert [kind and kind.kind.value for kind in kinds] == ["permanent", "failed"]
    assert limited.json["code"] == "51001"
    (refused,), _ = ask_all(
        f"{path}?instId=BTC-USDT",
        plan=Plan(rate=50_000, trades=10, fault_rates=FaultRates(limit=1)),
    )
    error = OKX.rest.parse_error(refused.status, refused.json)
    assert error is not None
    assert error.kind.value == "rate limited"
