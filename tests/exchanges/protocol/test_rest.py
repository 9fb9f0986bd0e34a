"""The rules of each exchange's REST, against answers as the documents show them."""

from decimal import Decimal
from typing import Any

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.rest import Cursor, RestError, RestErrorKind
from tests.support.decoding import at, kinds_of, ms, reasons_of, trades_of

# Binance Spot API documentation, "Market Data endpoints", section "Old trade lookup".
BINANCE = (
    '[{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012",'
    '"time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]'
)
# Binance Derivatives documentation, "Old Trades Lookup".
USDM = (
    '[{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"8000.00",'
    '"time":1499865549590,"isBuyerMaker":true,"isRPITrade":true}]'
)
# Kraken API Center, "Get Recent Trades".
KRAKEN = (
    '{"error":[],"result":{"XXBTZUSD":['
    '["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],'
    '["30243.30000","0.00376960",1688669598.2804112,"s","l","",61044953],'
    '["30243.30000","0.01235716",1688669602.698379,"s","m","",61044956]'
    '],"last":"1688671969993150842"}}'
)
# Coinbase Developer Documentation, Exchange REST API, "Get product trades".
COINBASE = (
    '[{"time":"2020-03-20T00:36:59.860Z","trade_id":86327327,"price":"6225.32000000",'
    '"size":"0.06469797","side":"sell"}]'
)
ANSWERS = {"binance": BINANCE, "binance_usdm": USDM, "kraken": KRAKEN, "coinbase": COINBASE}
NATIVES = {
    "binance": "BTCUSDT",
    "binance_usdm": "BTCUSDT",
    "kraken": "BTC/USD",
    "coinbase": "BTC-USD",
}


@pytest.mark.parametrize(
    ("exchange", "target", "newest"),
    [
        (
            "binance",
            "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=28457&limit=7",
            "/api/v3/trades?symbol=BTCUSDT&limit=7",
        ),
        (
            "binance_usdm",
            "/fapi/v1/historicalTrades?symbol=BTCUSDT&fromId=28457&limit=7",
            "/fapi/v1/trades?symbol=BTCUSDT&limit=7",
        ),
        (
            "kraken",
            "/0/public/Trades?pair=XBTUSD&count=7&since=1688671969993150842",
            "/0/public/Trades?pair=XBTUSD&count=7",
        ),
        (
            "coinbase",
            "/products/BTC-USD/trades?limit=7&after=28464",
            "/products/BTC-USD/trades?limit=7",
        ),
    ],
)
def test_what_is_asked_for(exchange: str, target: str, newest: str) -> None:
    """Trades from a number or from a time on, and the last ones."""
    rest = EXCHANGES[exchange].rest
    place = Cursor(28457, 1688671969993150842)
    assert rest.trades_path(NATIVES[exchange], place, 7) == target
    assert rest.latest_path(NATIVES[exchange], 7) == newest


@pytest.mark.parametrize(
    ("exchange", "numbers", "times", "until_ns"),
    [
        ("binance", [28457], [1499865549590_000], 0),
        ("binance_usdm", [28457], [1499865549590_000], 0),
        (
            "kraken",
            [61044952, 61044953, 61044956],
            [1688669597_827736, 1688669598_280411, 1688669602_698379],
            1688671969993150842,
        ),
        ("coinbase", [86327327], [1584664619_860000], 0),
    ],
)
def test_what_an_answer_holds(
    exchange: str, numbers: list[int], times: list[int], until_ns: int
) -> None:
    """Numbers, their times in microseconds, and where the next answer begins."""
    page = EXCHANGES[exchange].rest.parse_page(parse(ANSWERS[exchange]))
    assert (page.numbers, page.times_us, page.until_ns) == (numbers, times, until_ns)


def test_numbers_ascend_however_they_come() -> None:
    """Coinbase shows the newest first."""
    rows = [row(number, '"2020-03-20T00:36:59.860Z"') for number in (9, 8)]
    page = EXCHANGES["coinbase"].rest.parse_page(parse(f"[{','.join(rows)}]"))
    assert (list(page.numbers), page.unreadable_rows) == ([8, 9], 0)


def row(number: int, time: str) -> str:
    """A row of Coinbase."""
    return f'{{"trade_id":{number},"side":"buy","size":"1","price":"2","time":{time}}}'


@pytest.mark.parametrize(
    ("exchange", "answer"),
    [
        ("binance", '[{"id":"7"},{}]'),
        ("coinbase", f"[{row(9, '7')},{row(8, chr(34) + 'soon' + chr(34))}]"),
        (
            "kraken",
            '{"error":[],"result":{"XXBTZUSD":[["1","2",1e14,"b","m","",7],["1"]],"last":"5"}}',
        ),
    ],
)
def test_rows_that_cannot_be_read_are_counted(exchange: str, answer: str) -> None:
    """Also those whose time cannot: a page that holds nothing else is not empty."""
    page = EXCHANGES[exchange].rest.parse_page(parse(answer))
    assert (list(page.numbers), page.unreadable_rows) == ([], 2)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_answer_of_another_shape_is_none(exchange: str) -> None:
    """It is never taken for one without trades."""
    others: list[Any] = [{}, {"result": []}, "trades", 1, None]
    for content in others:
        with pytest.raises(FrameError):
            EXCHANGES[exchange].rest.parse_page(content)


@pytest.mark.parametrize(
    ("exchange", "status", "content", "verdict"),
    [
        ("binance", 200, [], None),
        ("binance", 400, {"code": -1121, "msg": "Invalid symbol."}, RestErrorKind.PERMANENT),
        ("binance", 400, {"code": -1100, "msg": "Illegal characters."}, RestErrorKind.FAILED),
        (
            "binance",
            429,
            {"code": -1003, "msg": "Too much request weight used."},
            RestErrorKind.RATE_LIMITED,
        ),
        (
            "binance",
            418,
            {"code": -1003, "msg": "Way too many requests."},
            RestErrorKind.RATE_LIMITED,
        ),
        ("binance", 403, None, RestErrorKind.RATE_LIMITED),
        ("binance", 503, None, RestErrorKind.FAILED),
        ("binance", 200, None, RestErrorKind.FAILED),
        (
            "binance_usdm",
            401,
            {"code": -2014, "msg": "API-key format invalid."},
            RestErrorKind.KEY_REQUIRED,
        ),
        ("kraken", 200, {"error": [], "result": {}}, None),
        ("kraken", 200, {"error": ["EAPI:Rate limit exceeded"]}, RestErrorKind.RATE_LIMITED),
        ("kraken", 200, {"error": ["EGeneral:Too many requests"]}, RestErrorKind.RATE_LIMITED),
        ("kraken", 200, {"error": ["EService: Throttled: 1699999999"]}, RestErrorKind.RATE_LIMITED),
        ("kraken", 200, {"error": ["EQuery:Unknown asset pair"]}, RestErrorKind.PERMANENT),
        ("kraken", 200, {"error": ["EService:Unavailable"]}, RestErrorKind.FAILED),
        ("kraken", 520, None, RestErrorKind.FAILED),
        ("coinbase", 200, [], None),
        ("coinbase", 429, {"message": "Public rate limit exceeded"}, RestErrorKind.RATE_LIMITED),
        # Whatever stands before an exchange bans without a word.
        *(
            (name, status, None, RestErrorKind.RATE_LIMITED)
            for name in EXCHANGES
            for status in (418, 429)
        ),
        *(
            (name, status, None, RestErrorKind.FAILED)
            for name in EXCHANGES
            for status in (417, 430)
        ),
        ("coinbase", 404, {"message": "NotFound"}, RestErrorKind.PERMANENT),
        ("coinbase", 404, None, RestErrorKind.FAILED),
        ("coinbase", 302, None, RestErrorKind.FAILED),
    ],
)
def test_complaints(
    exchange: str, status: int, content: Any, verdict: RestErrorKind | None
) -> None:
    """What is too often, what is never, and what may pass. A page that somebody between
    says is not there does not prove that the exchange knows no such market.
    """
    found = EXCHANGES[exchange].rest.parse_error(status, content)
    assert (found and found.kind) == verdict
    assert found is None or isinstance(found, RestError)


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        ("binance", ("28457", ms(1499865549590), "SELL", "4.000001", "12")),
        ("binance_usdm", ("28457", ms(1499865549590), "SELL", "4.000001", "12")),
        ("kraken", ("61044952", at("2023-07-06T18:53:17.827736"), "BUY", "30243.4", "0.34507674")),
        ("coinbase", ("86327327", at("2020-03-20T00:36:59.860"), "BUY", "6225.32", "0.06469797")),
    ],
)
def test_answers_become_trades(exchange: str, expected: tuple[Any, ...]) -> None:
    """Of the market that their connection names; the side is the taker's."""
    native = NATIVES[exchange]
    trade = trades_of(exchange, f"rest/{native}", ANSWERS[exchange])[0]
    number, time, side, price, quantity = expected
    assert (trade["native_symbol"], trade["trade_id"]) == (native, number)
    assert (trade["sequence"], trade["timestamp"]) == (int(number), time)
    assert (trade["side"], trade["via"], trade["condition"]) == (side, 2, None)
    assert (trade["price"], trade["quantity"]) == (Decimal(price), Decimal(quantity))


def test_other_fields_are_kept() -> None:
    """As everywhere, those that are mapped nowhere."""
    (trade,) = trades_of("binance_usdm", "rest/BTCUSDT", USDM)
    assert trade["vendor"] == {"quoteQty": "8000.00", "isRPITrade": "true"}
    trade = trades_of("kraken", "rest/BTC/USD", KRAKEN)[1]
    assert trade["vendor"] == {"type": "l", "misc": ""}


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_an_answer_on_a_websocket_is_a_control_frame(exchange: str) -> None:
    """What a connection is called tells how its frames are read."""
    if exchange != "coinbase":  # which has no frames that are lists
        assert kinds_of(exchange, "c0", ANSWERS[exchange]) == ["control"]
    assert kinds_of(exchange, f"rest/{NATIVES[exchange]}", ANSWERS[exchange]) == ["trade"]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_bad_trade_is_its_own_dead_letter(exchange: str) -> None:
    """The others of its answer pass; what is no answer is a dead letter whole."""
    answer = ANSWERS[exchange]
    connection = f"rest/{NATIVES[exchange]}"
    row = answer[answer.rindex("[") if exchange == "kraken" else answer.index("{") :]
    row = row[: row.index("]") + 1] if exchange == "kraken" else row[: row.index("}") + 1]
    more = answer.replace(row, f'{row},{{"id":"x"}}')
    assert len(trades_of(exchange, connection, more)) == answer.count(row[:6])
    assert reasons_of(exchange, connection, more) == ["bad_shape"]
    for text, reason in (
        ("<html>", "bad_json"),
        ('{"code":-1121}', "bad_shape"),
        ("", "empty_frame"),
    ):
        assert kinds_of(exchange, connection, text) == ["dead"]
        assert reasons_of(exchange, connection, text) == [reason]


SPOT_LINES = (
    "51175358,17.80180000,5.69000000,101.29224200,1583709433583,True,True\n"
    "51175359,17.80180001,5.69000001,101.29224237,1735689600010866,False,True\n"
)
USDM_LINES = (
    "id,price,qty,quote_qty,time,is_buyer_maker\n28457,4.00000100,12.00000000,48.00,"
    "1499865549590,true\n"
)


def test_pieces_of_dumps_become_trades() -> None:
    """Times of both units; a line of names is none; the last line may end or not."""
    for text in (SPOT_LINES, SPOT_LINES.rstrip(), SPOT_LINES.replace("\n", "\r\n")):
        first, second = trades_of("binance", "dump/BTCUSDT", text)
        assert (first["sequence"], first["side"], first["via"]) == (51175358, "SELL", 3)
        assert (second["sequence"], second["side"]) == (51175359, "BUY")
        assert first["timestamp"] == ms(1583709433583)
        assert second["timestamp"] == at("2025-01-01T00:00:00.010866")
        assert second["price"] == Decimal("17.80180001")
        assert first["vendor"] == {"quoteQty": "101.29224200", "isBestMatch": "True"}
    (trade,) = trades_of("binance_usdm", "dump/BTCUSDT", USDM_LINES)
    assert (trade["sequence"], trade["side"], trade["source_index"]) == (28457, "SELL", 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2,3", "bad_shape"),
        ("1,2,3,4,5,true,true,8", "bad_shape"),
        ("x,17.8,5.69,101.2,1583709433583,True,True", "bad_id"),
        ("1,17.8,5.69,101.2,soon,True,True", "bad_time"),
        ("1,17.8,5.69,101.2,1583709433583,perhaps,True", "bad_side"),
        ("1,1e5x,5.69,101.2,1583709433583,True,True", "bad_price"),
        ("1,17.8,-5.69,101.2,1583709433583,True,True", "bad_quantity"),
        # Of aggregated trades: their ids are no trades'.
        ("26129,0.01633102,4.70443515,27781,27781,1498793709153,true", "bad_side"),
    ],
)
def test_a_bad_line_is_its_own_dead_letter(line: str, reason: str) -> None:
    """The others of its piece pass."""
    text = SPOT_LINES + line
    assert len(trades_of("binance", "dump/BTCUSDT", text)) == 2
    assert reasons_of("binance", "dump/BTCUSDT", text) == [reason]


def test_a_piece_without_a_good_line_is_one_dead_letter() -> None:
    """So is one of an exchange that publishes no dumps."""
    assert reasons_of("binance", "dump/BTCUSDT", "a\nb\nc") == ["bad_shape"]
    assert kinds_of("binance", "dump/BTCUSDT", "a\nb\nc") == ["dead"]
    assert reasons_of("kraken", "dump/BTC/USD", SPOT_LINES) == ["bad_shape"]
    assert kinds_of("binance", "dump/BTCUSDT", "1,2\n" * 70_000) == ["dead"]
    assert reasons_of("binance", "dump/BTCUSDT", "1,2\n" * 70_000) == ["too_many_trades"]
