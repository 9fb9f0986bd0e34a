"""REST rules of each exchange, by responses from their documentation."""

from typing import Any

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.rest import Cursor, RestError, RestErrorKind
from tests.support.rest_responses import ANSWERS, NATIVES


@pytest.mark.parametrize(
    ("exchange", "trades", "latest"),
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
def test_request_paths_follow_the_documentation(exchange: str, trades: str, latest: str) -> None:
    """For trades from a number or time on, and for the latest trades."""
    rest = EXCHANGES[exchange].rest
    cursor = Cursor(28457, 1688671969993150842)
    assert rest.trades_path(NATIVES[exchange], cursor, 7) == trades
    assert rest.latest_path(NATIVES[exchange], 7) == latest


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
def test_page_holds_numbers_times_and_next_position(
    exchange: str, numbers: list[int], times: list[int], until_ns: int
) -> None:
    page = EXCHANGES[exchange].rest.parse_page(parse(ANSWERS[exchange]))
    assert (page.numbers, page.times_us, page.until_ns) == (numbers, times, until_ns)


def test_page_numbers_ascend_when_newest_comes_first() -> None:
    """Coinbase returns the newest first."""
    rows = [row(number, '"2020-03-20T00:36:59.860Z"') for number in (9, 8)]
    page = EXCHANGES["coinbase"].rest.parse_page(parse(f"[{','.join(rows)}]"))
    assert (list(page.numbers), page.unreadable_rows) == ([8, 9], 0)


def row(number: int, time: str) -> str:
    """A row of a Coinbase response."""
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
def test_page_counts_rows_with_unreadable_number_or_time(exchange: str, answer: str) -> None:
    """A page with only such rows is not empty."""
    page = EXCHANGES[exchange].rest.parse_page(parse(answer))
    assert (list(page.numbers), page.unreadable_rows) == ([], 2)


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_response_of_another_shape_is_an_error(exchange: str) -> None:
    """It must not pass as a page without trades."""
    contents: list[Any] = [{}, {"result": []}, "trades", 1, None]
    for content in contents:
        with pytest.raises(FrameError):
            EXCHANGES[exchange].rest.parse_page(content)


@pytest.mark.parametrize(
    ("exchange", "status", "content", "kind"),
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
        # A proxy in front of an exchange bans without content.
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
def test_error_kind_follows_status_and_content(
    exchange: str, status: int, content: Any, kind: RestErrorKind | None
) -> None:
    """A 404 without the exchange's own message does not prove that the market is unknown."""
    error = EXCHANGES[exchange].rest.parse_error(status, content)
    assert (error and error.kind) == kind
    assert error is None or isinstance(error, RestError)
