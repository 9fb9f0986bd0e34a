"""Parameters of requests at the edges of their ranges."""

import pytest
from starlette.requests import Request

from candlewax.web.api.params import MOST_ROWS, Candles, read
from candlewax.web.problem import Problem

LAST = 4_291_747_199
"""The last second of 2105, the last one a candle can have."""

MARKET = "exchange=binance&symbol=BTC%2FUSDT"


def parse(query: str) -> Candles:
    """Parse the query string of a request for candles."""
    scope = {"type": "http", "query_string": f"{MARKET}&{query}".encode(), "headers": []}
    return read(Candles, Request(scope))


@pytest.mark.parametrize(
    "query",
    ["from=0", f"from={LAST}", f"to={LAST}.999999", "limit=1", f"limit={MOST_ROWS}",
     "from=5&to=5.000001", "from=5&to=6"],
)  # fmt: skip
def test_parameter_at_the_edge_of_its_range_is_accepted(query: str) -> None:
    """Each value is one step from a value that the next test refuses."""
    assert parse(query).exchange == "binance"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("from=-0.000001", "from"), (f"from={LAST + 1}", "from"), (f"to={LAST + 1}", "to"),
        ("limit=0", "limit"), (f"limit={MOST_ROWS + 1}", "limit"), ("from=5&to=5", "to"),
        ("from=5.000001&to=5", "to"),
    ],
)  # fmt: skip
def test_parameter_beyond_its_range_is_refused_by_name(query: str, parameter: str) -> None:
    """Spans must not be empty, times must fit the tables, and the number of rows is bounded."""
    with pytest.raises(Problem) as refused:
        parse(query)
    assert (refused.value.status, refused.value.parameter) == (400, parameter)
