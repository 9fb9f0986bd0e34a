"""Answers of the simulated REST APIs, over real connections."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from candlewax.simulator.exchanges.published import Published
from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support.simulator_clients import key, listen, names, received_trades
from tests.support.simulator_rest import BITCOIN, HISTORY, PLAYED, ask, ask_all, row, rows


def trades_of(
    journal: list[Published], exchange: str, native: str | None = None
) -> list[Published]:
    market = exchange, native or BITCOIN[exchange]
    return [
        entry
        for entry in journal
        if (entry.trade.market.exchange, entry.trade.market.native_symbol) == market
    ]


def ids(journal: list[Published], exchange: str) -> list[int]:
    return [entry.trade.trade_id for entry in trades_of(journal, exchange)]


@pytest.mark.parametrize("exchange", HISTORY)
def test_rest_returns_the_latest_trades_as_published(exchange: str) -> None:
    """In every field of each trade."""
    (reply,), journal = ask_all(HISTORY[exchange].format(BITCOIN[exchange]))
    answered = rows(exchange, reply)
    # Binance returns no trades of futures with a condition.
    expected = [trade for trade in trades_of(journal, exchange) if not trade.trade.condition]
    limit = {"binance": 500, "binance_usdm": 100}.get(exchange, 1000)
    assert len(answered) >= min(len(expected), limit) * 9 // 10
    expected = expected[-len(answered) :]
    keys = [key(trade, 1000 if exchange.startswith("binance") else 1) for trade in expected]
    assert [row(exchange, trade) for trade in answered] == keys


def test_binance_page_starts_at_the_given_id() -> None:
    """Trades are oldest first, up to the limit; a page after the newest id is empty."""
    path = "/binance/api/v3/historicalTrades?symbol=BTCUSDT"
    first = 6_034_118_000
    (page, last, beyond), journal = ask_all(
        f"{path}&fromId={first + 10}&limit=7", f"{path}&limit=3", f"{path}&fromId={first + 10**6}"
    )
    published_ids = ids(journal, "binance")
    assert [trade["id"] for trade in page.json] == published_ids[10:17]
    assert [trade["id"] for trade in last.json] == published_ids[-3:]
    assert beyond.json == []
    trade = page.json[0]
    assert Decimal(trade["quoteQty"]) == Decimal(trade["price"]) * Decimal(trade["qty"])


def test_kraken_pages_hold_each_trade_once() -> None:
    """If each request passes on `last` of the answer before; trades are in order."""

    async def page() -> None:
        async with Simulator(PLAYED) as simulator:
            await simulator.ended()
            since, found_ids = "0", []
            while True:
                path = f"/kraken/0/public/Trades?pair=XBTUSD&since={since}&count=13"
                result = (await ask(simulator, path)).json["result"]
                found_ids += [trade[6] for trade in result["XBTUSD"]]
                if not result["XBTUSD"]:
                    break
                assert len(result["XBTUSD"]) <= 13
                since = result["last"]
            assert result["last"] == since
            assert found_ids == ids(simulator.journal, "kraken")

    asyncio.run(page())


@pytest.mark.parametrize("pair", ["BTC/USD", "XBT/USD", "XBTUSD", "BTCUSD"])
def test_kraken_accepts_several_names_of_a_market(pair: str) -> None:
    """The answer uses the name of the request."""
    (reply,), _ = ask_all(f"/kraken/0/public/Trades?pair={pair}&count=2")
    assert reply.json["result"].keys() == {pair, "last"}
    assert len(reply.json["result"][pair]) == 2


def test_coinbase_pages_hold_each_trade_once() -> None:
    """Newest first, if each request passes on `after`; `before` selects newer trades."""

    async def page() -> None:
        path = "/coinbase/products/BTC-USD/trades?limit=100"
        async with Simulator(PLAYED) as simulator:
            await simulator.ended()
            published_ids = ids(simulator.journal, "coinbase")
            found_ids: list[int] = []
            reply = await ask(simulator, path)
            while reply.json:
                found_ids += [trade["trade_id"] for trade in reply.json]
                assert reply.headers["CB-BEFORE"] == str(reply.json[0]["trade_id"])
                reply = await ask(simulator, f"{path}&after={reply.headers['CB-AFTER']}")
            assert found_ids == published_ids[::-1]
            newer = await ask(simulator, f"{path}&before={published_ids[-4]}")
            assert [trade["trade_id"] for trade in newer.json] == published_ids[:-4:-1]
            between = await ask(
                simulator, f"{path}&before={published_ids[5]}&after={published_ids[9]}"
            )
            assert [trade["trade_id"] for trade in between.json] == published_ids[8:5:-1]

    asyncio.run(page())


@pytest.mark.parametrize("exchange", HISTORY)
def test_rest_returns_trades_that_were_skipped_on_the_sockets(exchange: str) -> None:
    """With them, no id is missing, other than those of futures with a condition."""

    async def run() -> None:
        plan = Plan(rate=20_000, trades=400, starts_paused=True, fault_rates=FaultRates(skip=0.3))
        async with Simulator(plan) as simulator, listen(simulator, exchange) as listener:
            await listener.subscribe(*names(simulator, exchange))
            simulator.begin()
            await simulator.ended()
            await listener.catch_up()
            native = BITCOIN[exchange]
            received = {
                int(number) for name, number, *_ in received_trades(listener) if name == native
            }
            reply = await ask(simulator, HISTORY[exchange].format(native))
            shown = {int(row(exchange, trade)[1]) for trade in rows(exchange, reply)}
            conditioned = {
                entry.trade.trade_id
                for entry in trades_of(simulator.journal, exchange)
                if entry.trade.condition
            }
            assert shown - received
            assert received | shown | conditioned == set(ids(simulator.journal, exchange))

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


def test_invalid_request_gets_the_error_of_its_exchange() -> None:
    """With the status and the body that the real exchange sends."""
    replies, _ = ask_all(*(path for path, _, _ in ERRORS), plan=Plan(starts_paused=False, trades=1))
    for reply, (path, status, expected) in zip(replies, ERRORS, strict=True):
        assert (path, reply.status) == (path, status)
        assert reply.json.items() >= expected.items()


def test_health_is_answered_with_200() -> None:
    """An unknown path is answered with 404."""
    (health, nothing), _ = ask_all("/health", "/nothing", plan=Plan(trades=1))
    assert (health.status, nothing.status) == (200, 404)


def test_plain_http_request_to_a_websocket_is_refused() -> None:
    """The error names the path."""
    (reply,), _ = ask_all("/kraken/v2", plan=Plan(trades=1))
    assert reply.status == 404
    assert "/kraken/v2" in reply.json["error"]
