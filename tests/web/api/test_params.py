"""Parameters of requests at their limits."""

import pytest
from starlette.requests import Request

from candlewax.web.api.params import MOST_ROWS, Candles, read
from candlewax.web.problem import Problem

LAST = 4_291_747_199
"""The last second of 2105, the last one a candle can have."""

MARKET = "exchange=binance&symbol=BTC%2FUSDT"


def asked(query: str) -> Candles:
    """What is asked for by the query of an address."""
    scope = {"type": "http", "query_string": f"{MARKET}&{query}".encode(), "headers": []}
    return read(Candles, Request(scope))


@pytest.mark.parametrize(
    "query",
    ["from=0", f"from={LAST}", f"to={LAST}.999999", "limit=1", f"limit={MOST_ROWS}",
     "from=5&to=5.000001", "from=5&to=6"],
)  # fmt: skip
def test_value_within_its_limits_by_the_least_is_taken(query: str) -> None:
    """Each is the last one before the next test's."""
    assert asked(query).exchange == "binance"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("from=-0.000001", "from"), (f"from={LAST + 1}", "from"), (f"to={LAST + 1}", "to"),
        ("limit=0", "limit"), (f"limit={MOST_ROWS + 1}", "limit"), ("from=5&to=5", "to"),
        ("from=5.000001&to=5", "to"),
    ],
)  # fmt: skip
def test_value_beyond_its_limits_is_refused_by_its_name(query: str, parameter: str) -> None:
    """A span has a length, times are those of tables, and an answer so many rows."""
    with pytest.raises(Problem) as refused:
        asked(query)
    assert (refused.value.status, refused.value.parameter) == (400, parameter)
