"""What REST answers, asked over real connections."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from candlewax.simulator.exchanges.published import Published
from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support.simulator_clients import heard, key, listen, names
from tests.support.simulator_rest import BITCOIN, HISTORY, PLAYED, ask, asked, row, rows


def of(journal: list[Published], exchange: str, native: str | None = None) -> list[Published]:
    market = exchange, native or BITCOIN[exchange]
    return [
        one
        for one in journal
        if (one.trade.market.exchange, one.trade.market.native_symbol) == market
    ]


def ids(journal: list[Published], exchange: str) -> list[int]:
    return [one.trade.trade_id for one in of(journal, exchange)]


@pytest.mark.parametrize("exchange", HISTORY)
def test_the_last_trades_are_shown(exchange: str) -> None:
    """Every field of every trade is the one that was published."""
    (reply,), journal = asked(HISTORY[exchange].format(BITCOIN[exchange]))
    found = rows(exchange, reply)
    # Binance shows no trades of futures that carry a condition.
    wanted = [one for one in of(journal, exchange) if not one.trade.condition]
    most = {"binance": 500, "binance_usdm": 100}.get(exchange, 1000)
    assert len(found) >= min(len(wanted), most) * 9 // 10
    wanted = wanted[-len(found) :]
    keys = [key(one, 1000 if exchange.startswith("binance") else 1) for one in wanted]
    assert [row(exchange, one) for one in found] == keys


def test_binance_pages_by_id() -> None:
    """From an id on, so many, oldest first; nothing behind the newest."""
    path = "/binance/api/v3/historicalTrades?symbol=BTCUSDT"
    first = 6_034_118_000
    (page, last, beyond), journal = asked(
        f"{path}&fromId={first + 10}&limit=7", f"{path}&limit=3", f"{path}&fromId={first + 10**6}"
    )
    known = ids(journal, "binance")
    assert [one["id"] for one in page.json] == known[10:17]
    assert [one["id"] for one in last.json] == known[-3:]
    assert beyond.json == []
    one = page.json[0]
    assert Decimal(one["quoteQty"]) == Decimal(one["price"]) * Decimal(one["qty"])


def test_kraken_pages_by_time() -> None:
    """From page to page with `last`, every trade comes once, in order."""

    async def page() -> None:
        async with Simulator(PLAYED) as simulator:
            await simulator.ended()
            since, found = "0", []
            while True:
                path = f"/kraken/0/public/Trades?pair=XBTUSD&since={since}&count=13"
                result = (await ask(simulator, path)).json["result"]
                found += [one[6] for one in result["XBTUSD"]]
                if not result["XBTUSD"]:
                    break
                assert len(result["XBTUSD"]) <= 13
                since = result["last"]
            assert result["last"] == since
            assert found == ids(simulator.journal, "kraken")

    asyncio.run(page())


@pytest.mark.parametrize("pair", ["BTC/USD", "XBT/USD", "XBTUSD", "BTCUSD"])
def test_kraken_knows_a_market_by_several_names(pair: str) -> None:
    """The answer stands under the name that was asked for."""
    (reply,), _ = asked(f"/kraken/0/public/Trades?pair={pair}&count=2")
    assert reply.json["result"].keys() == {pair, "last"}
    assert len(reply.json["result"][pair]) == 2


def test_coinbase_pages_by_cursor() -> None:
    """From page to page with `after`, all trades come, newest first; `before` is newer."""

    async def page() -> None:
        path = "/coinbase/products/BTC-USD/trades?limit=100"
        async with Simulator(PLAYED) as simulator:
            await simulator.ended()
            known = ids(simulator.journal, "coinbase")
            found: list[int] = []
            reply = await ask(simulator, path)
            while reply.json:
                found += [one["trade_id"] for one in reply.json]
                assert reply.headers["CB-BEFORE"] == str(reply.json[0]["trade_id"])
                reply = await ask(simulator, f"{path}&after={reply.headers['CB-AFTER']}")
            assert found == known[::-1]
            newer = await ask(simulator, f"{path}&before={known[-4]}")
            assert [one["trade_id"] for one in newer.json] == known[:-4:-1]
            between = await ask(simulator, f"{path}&before={known[5]}&after={known[9]}")
            assert [one["trade_id"] for one in between.json] == known[8:5:-1]

    asyncio.run(page())


@pytest.mark.parametrize("exchange", HISTORY)
def test_what_no_socket_said_is_shown(exchange: str) -> None:
    """Skipped trades and those of a stall fill the holes of what was heard."""

    async def run() -> None:
        plan = Plan(rate=20_000, trades=400, starts_paused=True, fault_rates=FaultRates(skip=0.3))
        async with Simulator(plan) as simulator, listen(simulator, exchange) as ear:
            await ear.subscribe(*names(simulator, exchange))
            simulator.begin()
            await simulator.ended()
            await ear.catch_up()
            native = BITCOIN[exchange]
            came = {int(number) for name, number, *_ in heard(ear) if name == native}
            reply = await ask(simulator, HISTORY[exchange].format(native))
            shown = {int(row(exchange, one)[1]) for one in rows(exchange, reply)}
            conditioned = {
                one.trade.trade_id for one in of(simulator.journal, exchange) if one.trade.condition
            }
            assert shown - came
            assert came | shown | conditioned == set(ids(simulator.journal, exchange))

    asyncio.run(run())


ERRORS: list[tuple[str, int, Any]] = [
    ("/binance/api/v3/historicalTrades", 400, {"code": -1102}),
    ("/binance/api/v3/historicalTrades?symbol=FOO", 400, {"code": -1121}),
    ("/binance/api/v3/historicalTrades?symbol=BTCUSDT&limit=x", 400, {"code": -1100}),
    ("/binance/api/v3/nothing", 404, {"code": -1000}),
    ("/binance_usdm/fapi/v1/historicalTrades?symbol=FOO", 400, {"code": -1121}),
    ("/kraken/0/public/Trades?pair=FOO/USD", 200, {"error": ["EQuery:Unknown asset pair"]}),
    ("/kraken/0/public/Trades", 200, {"error": ["EGeneral:Invalid arguments"]}),
    ("/kraken/0/public/Trades?pair=XBTUSD&since=x", 200, {"error": ["EGeneral:Invalid arguments"]}),
    ("/kraken/0/public/Nothing", 200, {"error": ["EGeneral:Unknown method"]}),
    ("/coinbase/products/FOO-USD/trades", 404, {"message": "NotFound"}),
    ("/coinbase/products/BTC-USD/nothing", 404, {"message": "NotFound"}),
    ("/coinbase/products/BTC-USD/trades?limit=0", 400, {"message": "invalid limit"}),
    ("/coinbase/products/BTC-USD/trades?after=x", 400, {"message": "invalid cursor"}),
]


def test_errors_look_like_those_of_the_exchange() -> None:
    """Each wrong request gets a status and a text of its exchange."""
    replies, _ = asked(*(path for path, _, _ in ERRORS), plan=Plan(starts_paused=False, trades=1))
    for reply, (path, status, expected) in zip(replies, ERRORS, strict=True):
        assert (path, reply.status) == (path, status)
        assert reply.json.items() >= expected.items()


def test_health_is_told() -> None:
    """One may ask whether the simulator is up; elsewhere is nothing."""
    (health, nothing), _ = asked("/health", "/nothing", plan=Plan(trades=1))
    assert (health.status, nothing.status) == (200, 404)


def test_a_websocket_address_wants_a_websocket() -> None:
    """Asked by plain HTTP it says so."""
    (reply,), _ = asked("/kraken/v2", plan=Plan(trades=1))
    assert reply.status == 404
    assert "/kraken/v2" in reply.json["error"]
