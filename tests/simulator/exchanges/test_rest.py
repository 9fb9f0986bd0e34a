"""What REST answers, asked over real connections."""

import asyncio
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from candlewax.simulator.exchanges.published import Published
from candlewax.simulator.plan import ExchangeLimits, FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support.simulator_clients import heard, key, listen, names, wait_until

HISTORY = {
    "binance": "/binance/api/v3/historicalTrades?symbol={}",
    "binance_usdm": "/binance_usdm/fapi/v1/historicalTrades?symbol={}",
    "kraken": "/kraken/0/public/Trades?pair={}",
    "coinbase": "/coinbase/products/{}/trades?",
}
BITCOIN = {
    "binance": "BTCUSDT",
    "binance_usdm": "BTCUSDT",
    "kraken": "BTC/USD",
    "coinbase": "BTC-USD",
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PLAYED = Plan(rate=50_000, trades=6_000)


class Reply:
    """Status, headers and JSON of an answer."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers = status, headers
        self.json: Any = json.loads(body, parse_float=Decimal)


def _get(url: str, key: str = "any") -> Reply:
    headers = {"X-MBX-APIKEY": key} if key else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())


async def ask(simulator: Simulator, path: str, key: str = "any") -> Reply:
    return await asyncio.to_thread(_get, f"http://127.0.0.1:{simulator.port}{path}", key)


def asked(*paths: str, plan: Plan = PLAYED) -> tuple[list[Reply], list[Published]]:
    """The answers to some requests once a plan is played, and the journal."""

    async def run() -> tuple[list[Reply], list[Published]]:
        async with Simulator(plan) as simulator:
            await simulator.ended()
            return [await ask(simulator, path) for path in paths], simulator.journal

    return asyncio.run(run())


def of(journal: list[Published], exchange: str, native: str | None = None) -> list[Published]:
    market = exchange, native or BITCOIN[exchange]
    return [
        one
        for one in journal
        if (one.trade.market.exchange, one.trade.market.native_symbol) == market
    ]


def ids(journal: list[Published], exchange: str) -> list[int]:
    return [one.trade.trade_id for one in of(journal, exchange)]


def row(exchange: str, one: dict[str, Any] | list[Any]) -> tuple[Any, ...]:
    """A row of an answer as a key; Binance's times are in milliseconds."""
    native = BITCOIN[exchange]
    if isinstance(one, list):
        price, volume, time, side, _, _, number = one
        return native, str(number), int(time * 10**6), Decimal(price), Decimal(volume), side == "b"
    if exchange == "coinbase":
        time = (datetime.fromisoformat(one["time"]) - EPOCH) // timedelta(microseconds=1)
        amounts = Decimal(one["price"]), Decimal(one["size"])
        return native, str(one["trade_id"]), time, *amounts, one["side"] == "sell"
    amounts = Decimal(one["price"]), Decimal(one["qty"])
    return native, str(one["id"]), one["time"] * 1000, *amounts, not one["isBuyerMaker"]


def rows(exchange: str, reply: Reply) -> list[Any]:
    """The rows of an answer, oldest first."""
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    if exchange == "kraken":
        assert reply.json["error"] == []
        (found,) = [value for name, value in reply.json["result"].items() if name != "last"]
        return list(found)
    return list(reversed(reply.json)) if exchange == "coinbase" else list(reply.json)


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


@pytest.mark.parametrize("exchange", HISTORY)
def test_requests_may_come_too_often(exchange: str) -> None:
    """As many as asked for are refused in the exchange's own way, Binance telling how long
    to wait and Kraken with a status of 200; health never is.
    """

    async def run() -> None:
        plan = Plan(trades=1, limits=ExchangeLimits(retry_after=7))
        async with Simulator(plan) as simulator:
            simulator.limit(2)
            path = HISTORY[exchange].format(BITCOIN[exchange])
            assert (await ask(simulator, "/health")).status == 200
            for _ in range(2):
                reply = await ask(simulator, path)
                told = "7" if exchange.startswith("binance") else None
                assert reply.headers["Retry-After"] == told
                if exchange == "kraken":
                    assert (reply.status, reply.json) == (200, LIMITED)
                else:
                    assert reply.status == 429
            reply = await ask(simulator, path)
            assert reply.status == 200
            assert reply.json != LIMITED
            assert simulator.rest_requests == 3

    asyncio.run(run())


LIMITED = {"error": ["EAPI:Rate limit exceeded"]}


@pytest.mark.parametrize("exchange", HISTORY)
def test_an_answer_may_lack_some_trades(exchange: str) -> None:
    """Three in its middle; its ends are there, and the next answer holds all of them."""

    async def run() -> list[Reply]:
        async with Simulator(PLAYED) as simulator:
            await simulator.ended()
            simulator.lack(1)
            path = HISTORY[exchange].format(BITCOIN[exchange])
            return [await ask(simulator, path) for _ in range(2)]

    lacking, whole = (rows(exchange, reply) for reply in asyncio.run(run()))
    at = len(whole) // 2 - 1
    assert lacking == whole[:at] + whole[at + 3 :]


def test_requests_may_be_limited_by_chance() -> None:
    """With a chance of one all are too many."""
    plan = Plan(trades=1, fault_rates=FaultRates(limit=1))
    replies, _ = asked(*[HISTORY["kraken"].format("BTC/USD")] * 3, plan=plan)
    assert [reply.json for reply in replies] == [LIMITED] * 3


def test_requests_may_fail_by_chance() -> None:
    """With a chance of one all do: a gateway says so, not the exchange."""

    async def run() -> None:
        async with Simulator(Plan(trades=1, fault_rates=FaultRates(fail=1))) as simulator:
            url = f"{simulator.rest_url('kraken')}/0/public/Trades?pair=XBTUSD"
            with pytest.raises(urllib.error.HTTPError) as failure:
                await asyncio.to_thread(urllib.request.urlopen, url)
            with failure.value as answer:
                assert answer.status == 503
                assert b"<html>" in answer.read()

    asyncio.run(run())


def test_old_futures_trades_are_shown_with_a_key_only() -> None:
    """The last ones to everyone, on an address of their own."""

    async def run() -> None:
        async with Simulator(PLAYED) as simulator:
            await simulator.ended()
            root = "/binance_usdm/fapi/v1"
            refused = await ask(simulator, f"{root}/historicalTrades?symbol=BTCUSDT", key="")
            assert (refused.status, refused.json["code"]) == (401, -2014)
            shown = await ask(simulator, f"{root}/trades?symbol=BTCUSDT&limit=1000", key="")
            keyed = await ask(simulator, f"{root}/historicalTrades?symbol=BTCUSDT&limit=5")
            assert keyed.json == shown.json[-5:]

    asyncio.run(run())


@pytest.mark.parametrize("exchange", HISTORY)
def test_only_the_last_trades_may_be_shown(exchange: str) -> None:
    """Asked for older ones, an exchange begins with the oldest it shows, or has none."""

    async def run() -> None:
        plan = Plan(rate=50_000, trades=6_000, fault_rates=FaultRates(oldest=20))
        async with Simulator(plan) as simulator:
            await simulator.ended()
            path = HISTORY[exchange].format(BITCOIN[exchange])
            newest = rows(exchange, await ask(simulator, path))
            assert len(newest) == 20
            old = {"kraken": "&since=1", "coinbase": "&after=9"}.get(exchange, "&fromId=1")
            found = rows(exchange, await ask(simulator, path + old))
            assert found == ([] if exchange == "coinbase" else newest)

    asyncio.run(run())


def test_only_what_is_kept_is_shown() -> None:
    """Old trades are forgotten where not all are to be remembered."""
    plan = Plan(rate=50_000, trades=5_000, keep=50)
    (reply,), journal = asked("/binance/api/v3/historicalTrades?symbol=BTCUSDT&fromId=0", plan=plan)
    assert 50 <= len(journal) <= 100
    (newest,), _ = asked("/binance/api/v3/historicalTrades?symbol=BTCUSDT&limit=50", plan=plan)
    assert len(newest.json) == 50
    assert 50 <= len(reply.json) <= 100


async def _play_on(simulator: Simulator) -> None:
    """Let 2,000 trades happen."""
    wanted = len(simulator.journal) + 2_000
    simulator.begin()
    await wait_until(lambda: len(simulator.journal) >= wanted)
    simulator.pause()


def test_kraken_shows_trades_by_time_after_a_clock_was_stepped_back() -> None:
    """Each once, page by page, though their numbers are in another order."""

    async def run() -> None:
        async with Simulator(Plan(rate=20_000, starts_paused=True)) as simulator:
            for seconds in (30, 0):
                simulator.player.step_clock("kraken", seconds)
                await _play_on(simulator)
            shown: list[int] = []
            since = "1"
            while True:
                path = f"/kraken/0/public/Trades?pair=BTC/USD&count=50&since={since}"
                result = (await ask(simulator, path)).json["result"]
                if not result["BTC/USD"]:
                    break
                shown += [row[-1] for row in result["BTC/USD"]]
                since = result["last"]
            trades = simulator.published.market_trades("kraken", "BTC/USD").all()
            assert sorted(shown) == [trade.trade_id for trade in trades]
            assert shown != sorted(shown)

    asyncio.run(run())
