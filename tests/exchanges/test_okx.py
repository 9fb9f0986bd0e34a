"""OKX, spot and swaps, by frames from its documentation."""

import json
from decimal import Decimal
from typing import Any

import pytest

from candlewax.core.instruments import Instruments
from candlewax.exchanges.okx import OKX
from candlewax.exchanges.okx_markets import MARKETS
from candlewax.exchanges.okx_rest import CANDLES
from candlewax.exchanges.protocol.fields import FrameError
from candlewax.exchanges.protocol.markets import ListedMarket, MarketKind, MarketStatus
from candlewax.exchanges.protocol.rest import Cursor, RestErrorKind
from candlewax.exchanges.protocol.venue_candles import VenueCandle
from candlewax.exchanges.protocol.websocket import Kind
from tests.exchanges.conformance import Conformance, Declared, Trade
from tests.support.decoding import kinds, ms, reasons, trades, trades_of


def frame(channel: str = "trades-all", **changes: Any) -> str:
    """Return an update, its fields in the order of the documentation."""
    trade = {
        "instId": "BTC-USDT",
        "tradeId": "130639474",
        "px": "42219.9",
        "sz": "0.12060306",
        "side": "buy",
        "source": "0",
        "ts": "1630048897897",
        **changes,
    }
    message = {"arg": {"channel": channel, "instId": trade["instId"]}, "data": [trade]}
    return json.dumps(message, separators=(",", ":"))


REFUSAL = (
    '{"id":"1","event":"error","code":"60018","msg":"Wrong URL or channel:trades-all,'
    "instId:NOPE-USDT doesn't exist. Please use the correct URL, channel and parameters referring "
    'to API document.","connId":"a4d3ae55"}'
)
ACK = (
    '{"id":"3","event":"subscribe","arg":{"channel":"trades-all","instId":"BTC-USDT-SWAP"},'
    '"connId":"accb8e21"}'
)
NOTICE = (
    '{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service '
    'upgrade. Please reconnect.","connId":"a4d3ae55"}'
)


class TestConformance(Conformance):
    """OKX passes the suite."""

    declared = Declared(
        "okx",
        "BTC-USDT",
        "BTC/USDT",
        frames=(
            frame(),
            frame(tradeId="130639475", px="42219.8", sz="1", side="sell", ts="1630048897898"),
        ),
        trades=(
            Trade("130639474", ms(1630048897897), "BUY", "42219.9", "0.12060306"),
            Trade("130639475", ms(1630048897898), "SELL", "42219.8", "1"),
        ),
        is_numbered=True,
        controls={
            "pong": Kind.HEARTBEAT,
            ACK: Kind.ACK,
            NOTICE: Kind.SHUTDOWN,
            '{"event":"notice","code":"64000","msg":"","connId":"a4d3ae55"}': Kind.OTHER,
            '{"event":"channel-conn-count","channel":"orders","connCount":"2"}': Kind.OTHER,
            '{"arg":{"channel":"tickers","instId":"BTC-USDT"},"data":[{"last":"9999.99"}]}': (
                Kind.OTHER
            ),
        },
        refusal=REFUSAL,
        unknown="NOPE-USDT",
        malformed={
            '{"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":{}}': "bad_shape",
            '{"arg":{"channel":"trades-all","instId":"BTC-USDT"}}': "bad_shape",
            '{"data":[]}': "bad_shape",
            "[]": "bad_shape",
            "ping pong": "bad_json",
            frame(side="hold"): "bad_side",
            frame(ts="soon"): "bad_time",
            frame(tradeId="x"): "bad_id",
        },
        response=(
            '{"code":"0","msg":"","data":[{"instId":"BTC-USDT","side":"sell","sz":"1",'
            '"source":"0","px":"42219.8","tradeId":"130639475","ts":"1630048897898"},'
            '{"instId":"BTC-USDT","side":"buy","sz":"0.12060306","source":"0","px":"42219.9",'
            '"tradeId":"130639474","ts":"1630048897897"}]}'
        ),
        rest_errors=(
            (429, '{"msg":"Too Many Requests","code":"50011"}', RestErrorKind.RATE_LIMITED),
            (200, '{"code":"50011","data":[],"msg":""}', RestErrorKind.RATE_LIMITED),
            (200, '{"code":"51001","data":[],"msg":"doesn\'t exist"}', RestErrorKind.PERMANENT),
            (200, '{"code":"50001","data":[],"msg":"unavailable"}', RestErrorKind.FAILED),
            (503, "<html>", RestErrorKind.FAILED),
        ),
    )


@pytest.mark.parametrize(
    ("native_symbol", "symbol"),
    [
        ("BTC-USDT-SWAP", "BTC/USDT:USDT"),
        ("SOL-USDC-SWAP", "SOL/USDC:USDC"),
        ("LTC-USD-SWAP", "LTC/USD:LTC"),
        ("LTC-USD-220527", "LTC/USD:LTC-220527"),
        ("MATIC-USDT-220527", "MATIC/USDT:USDT-220527"),
        ("ETH-EUR", "ETH/EUR"),
    ],
)
def test_symbol_of_a_contract_names_its_settlement_asset(native_symbol: str, symbol: str) -> None:
    instrument = Instruments({}).resolve("okx", native_symbol)
    assert instrument is not None
    assert instrument.symbol == symbol
    assert symbol.startswith(f"{instrument.base}/{instrument.quote}")


@pytest.mark.parametrize(
    "native_symbol",
    ["BTC", "BTC-", "BTC-EUR-SWAP", "BTC-USD-220527-30000-C", "BTC-USD_UM-SWAP", "BTC-USD-2205"],
)
def test_symbol_without_a_rule_is_a_dead_letter(native_symbol: str) -> None:
    """Options too; the settlement asset is never a guess."""
    assert reasons("okx", frame(instId=native_symbol)) == ["unknown_instrument"]


def test_quantity_of_a_swap_stays_in_contracts() -> None:
    (trade,) = trades("okx", frame(instId="BTC-USDT-SWAP", sz="38", source="1"))
    assert (trade["symbol"], trade["quantity"]) == ("BTC/USDT:USDT", Decimal(38))
    assert (trade["condition"], trade["vendor"]) == (None, {"source": "1"})


@pytest.mark.parametrize(
    "last", [{"ts": "1630048897897"}, {"ts": "1630048897897", "count": "3", "seqId": 1234}]
)
def test_aggregated_trade_has_its_id_but_counts_nothing(last: dict[str, Any]) -> None:
    """An update of the channel `trades` may stand for several numbers: the others are no gap."""
    texts = frame("trades", **last), frame("trades", tradeId="130639480", **last)
    first, second = trades("okx", *texts)
    assert (first["trade_id"], second["trade_id"]) == ("130639474", "130639480")
    assert first["sequence"] == second["sequence"] == 0
    assert first["vendor"].get("count") == last.get("count")


def test_symbol_in_a_row_of_an_answer_is_no_vendor_data() -> None:
    """It repeats the one that was requested."""
    answer = (
        '{"code":"0","msg":"","data":[{"instId":"BTC-USDT","side":"sell","sz":"0.00001",'
        '"px":"29963.2","source":"0","tradeId":"242720720","ts":"1654161646974"}]}'
    )
    (trade,) = trades_of("okx", "rest/BTC-USDT", answer)
    assert trade["vendor"] == {"source": "0"}


def test_answer_to_a_ping_is_a_control_frame_only_on_a_websocket() -> None:
    assert kinds("okx", "pong", frame()) == ["control", "trade"]
    assert not trades_of("okx", "rest/BTC-USDT", "pong")
    assert reasons("kraken", "pong") == ["bad_json"]


def test_subscription_names_each_market_in_an_argument() -> None:
    assert json.loads(OKX.live.subscribe(["BTC-USDT", "BTC-USDT-SWAP"], 7)) == {
        "id": "7",
        "op": "subscribe",
        "args": [
            {"channel": "trades-all", "instId": "BTC-USDT"},
            {"channel": "trades-all", "instId": "BTC-USDT-SWAP"},
        ],
    }
    longest = ["1000000MOG-USDT-SWAP"] * OKX.live.symbols_per_message
    assert len(OKX.live.subscribe(longest, 10**9)) < 4096


def test_answer_names_its_market() -> None:
    """A refusal does so in its text only."""
    ack, refusal = OKX.live.parse_control(ACK), OKX.live.parse_control(REFUSAL)
    assert (ack.request, ack.native_symbols) == (3, ("BTC-USDT-SWAP",))
    assert (refusal.request, refusal.native_symbols) == (1, ("NOPE-USDT",))
    other_text = REFUSAL.replace("Wrong URL", "Subscribe failed, wrong URL").replace(
        '"id":"1",', ""
    )
    assert OKX.live.parse_control(other_text).native_symbols == ("NOPE-USDT",)
    too_often = '{"id":"1","event":"error","code":"60014","msg":"Requests too frequent"}'
    assert OKX.live.parse_control(too_often).request is None


def test_requests_name_what_is_older() -> None:
    assert OKX.rest.trades_path("BTC-USDT", Cursor(130639474), 100) == (
        "/api/v5/market/history-trades?instId=BTC-USDT&type=1&limit=100&after=130639574"
    )
    page = OKX.rest.parse_page(json.loads(TestConformance.declared.response))
    assert (page.numbers, page.times_us) == (
        [130639474, 130639475],
        [1630048897897000, 1630048897898000],
    )


@pytest.mark.parametrize("trade_id", ["", "x", "1e3", "-1", "\u0661", "9" * 5000])
def test_id_that_is_no_number_is_unreadable_in_an_answer(trade_id: str) -> None:
    """It ends no process: the other trades of the answer are read."""
    content = json.loads(TestConformance.declared.response)
    readable = len(OKX.rest.parse_page(content).numbers)
    content["data"].append({**content["data"][0], "tradeId": trade_id})
    page = OKX.rest.parse_page(content)
    assert (len(page.numbers), page.unreadable_rows) == (readable, 1)


def test_lines_of_a_dump_are_trades() -> None:
    """Of 2025, and with the seventh column of 2026."""
    text = (
        "instrument_name,trade_id,side,price,size,created_time\n"
        "BTC-USDT-SWAP,1853231103,buy,114033.1,1.15,1759248000009\n"
        "BTC-USDT-SWAP,1853231104,sell,114033,0.01,1759248000010,1"
    )
    first, second = trades_of("okx", "dump/BTC-USDT-SWAP", text)
    assert (first["trade_id"], first["sequence"], first["side"]) == (
        "1853231103",
        1853231103,
        "BUY",
    )
    assert (first["price"], first["quantity"]) == (Decimal("114033.1"), Decimal("1.15"))
    assert first["timestamp"] == ms(1759248000009)
    assert (second["side"], second["vendor"]) == ("SELL", {"source": "1"})


def test_candle_that_is_not_final_is_left_out() -> None:
    content = {
        "code": "0",
        "msg": "",
        "data": [
            ["1692547320000", "0.5744", "0.5745", "0.5744", "0.5745", "3", "30", "17.2", "0"],
            ["1692547260000", "0.5747", "0.5748", "0.5744", "0.5744", "1199", "11990", "6889.352",
             "1"],
        ],
    }  # fmt: skip
    assert CANDLES.parse(content) == [
        VenueCandle(1692547260, "0.5747", "0.5748", "0.5744", "0.5744", "1199")
    ]
    assert CANDLES.path("MATIC-USDT-SWAP", 1692547260, 1692547380) == (
        "/api/v5/market/history-candles?instId=MATIC-USDT-SWAP&bar=1m&before=1692547200000"
        "&after=1692547380000&limit=2"
    )


def test_list_of_markets_tells_the_size_of_contracts() -> None:
    instruments = [
        {"instId": "BTC-USDT", "ctVal": "", "ctValCcy": "", "tickSz": "0.1", "state": "live"}
    ]
    swaps = [
        {"instId": "BTC-USDT-SWAP", "ctVal": "0.01", "ctValCcy": "BTC", "tickSz": "0.10",
         "state": "live"},
        {"instId": "BTC-USD-SWAP", "ctVal": "100", "ctValCcy": "USD", "tickSz": "0.1",
         "state": "suspend"},
        {"instId": "BTC-USD_UM-SWAP", "ctVal": "1", "ctValCcy": "USD", "state": "live"},
    ]  # fmt: skip
    tickers = [{"instId": "BTC-USDT", "last": "100", "volCcy24h": "5000"}]
    swap_tickers = [{"instId": "BTC-USDT-SWAP", "last": "101", "volCcy24h": "7"}]
    answers = [{"code": "0", "data": rows} for rows in (instruments, swaps, tickers, swap_tickers)]
    *markets, error = MARKETS.parse(answers)
    assert isinstance(error, FrameError)
    assert markets == [
        ListedMarket("BTC-USDT", "BTC/USDT", "BTC", "USDT", tick="0.1", price=Decimal(100),
                     turnover=Decimal(5000)),
        ListedMarket("BTC-USDT-SWAP", "BTC/USDT:USDT", "BTC", "USDT", MarketKind.PERPETUAL,
                     "0.01", "BTC", "0.1", price=Decimal(101), turnover=Decimal(707)),
        ListedMarket("BTC-USD-SWAP", "BTC/USD:BTC", "BTC", "USD", MarketKind.PERPETUAL, "100",
                     "USD", "0.1", MarketStatus.SUSPENDED),
    ]  # fmt: skip
    assert [path.partition("?")[2] for path in MARKETS.paths] == [
        "instType=SPOT",
        "instType=SWAP",
    ] * 2
