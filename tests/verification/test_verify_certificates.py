"""verify: the check of certificates."""

from dataclasses import replace
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given
from hypothesis import strategies as st

from candlewax.verification.verify import report, verify
from tests.support import oracle
from tests.support.candles import DAY
from tests.support.certified_candles import FILLS, MINUTE, SECOND, WINDOW, fill, store
from tests.support.examples import examples
from tests.support.oracle import Window
from tests.support.verified_tables import (
    moment,
    store_candles,
    store_trades,
)

pytestmark = pytest.mark.slow("each example verifies a database", seconds=20)


def test_verify_accepts_right_certificates_of_each_status(
    database: Client, certified: dict[Window, dict[str, Any]]
) -> None:
    """Including outages and trades by REST."""
    result = verify(database)
    assert result.equal, report(result)
    statuses = {candle["status"] for candle in certified.values()}
    assert statuses == {"forming", "complete", "gaps", "partial", "unverified"}
    assert {c["feed_down_ms"] for c in certified.values()} > {0, 30_000}
    assert {candle["repaired"] for candle in certified.values()} == {0, 1}


EDGES = [
    # The feed begins with number 5 at the start of a minute; an earlier trade has a later number.
    fill(5, DAY + MINUTE),
    fill(6, DAY + MINUTE // 2),
    # Numbers are missing up to the start of a minute, and from there on.
    fill(7, DAY + 2 * MINUTE + 30 * SECOND),
    fill(10, DAY + 3 * MINUTE),
    fill(20, DAY + 3 * MINUTE + 10 * SECOND),
    # From the end of a minute that has a trade with a later number.
    fill(21, DAY + 6 * MINUTE),
    fill(25, DAY + 6 * MINUTE + 10 * SECOND),
    fill(26, DAY + 5 * MINUTE + 50 * SECOND),
    # The watermark is the end of this minute.
    fill(27, DAY + 9 * MINUTE),
    fill(28, DAY + 10 * MINUTE + SECOND),
]


def test_certificate_check_agrees_with_the_oracle_at_the_edges_of_windows(database: Client) -> None:
    """A feed begins, gaps begin and end, and the watermark stands exactly there."""
    stored = store(database, EDGES)
    minutes = {
        (window[3] - DAY // SECOND) // 60: (candle["closed"], candle["status"], candle["missing"])
        for window, candle in stored.items()
        if window[0] == "1m"
    }
    assert minutes == {
        0: (True, "complete", 0), 1: (True, "partial", 0), 2: (True, "gaps", 2),
        3: (True, "gaps", 11), 5: (True, "complete", 0), 6: (True, "gaps", 3),
        9: (True, "complete", 0), 10: (False, "forming", 0),
    }  # fmt: skip
    result = verify(database)
    assert result.equal, report(result)


WRONG = {
    ("1m", "x", "A/B", DAY // SECOND + 360): ("status", "forming"),
    ("5m", "x", "A/B", DAY // SECOND + 300): ("missing", 0),
    ("15m", "x", "A/B", DAY // SECOND): ("missing", 2),
    ("30m", "x", "A/B", DAY // SECOND): ("status", "complete"),
    ("1h", "x", "A/B", DAY // SECOND): ("status", "gaps"),
    ("1m", "x", "A/B", DAY // SECOND + 540): ("status", "partial"),
    ("1m", "x", "E/F", DAY // SECOND + 360): ("status", "complete"),
    ("5m", "x", "E/F", DAY // SECOND + 300): ("feed_down_ms", 90_000),
    ("15m", "x", "E/F", DAY // SECOND): ("repaired", 1),
    ("1d", "x", "A/B", DAY // SECOND): ("repaired", 0),
}


def test_verify_finds_each_wrong_field_of_a_certificate(
    database: Client, certified: dict[Window, dict[str, Any]]
) -> None:
    """With the candle, the field and both values, and no other."""
    store_candles(database, {w: {**certified[w], field: to} for w, (field, to) in WRONG.items()})
    part = verify(database).parts["certificates"]
    assert (part.checked, part.mismatches) == (len(certified), len(WRONG))
    assert {
        (e["timeframe"], e["symbol"], e["window_start"][-8:]): e["fields"] for e in part.examples
    } == {
        (w[0], w[2], str(moment(w[3] * SECOND))[11:19]): {
            field: {"stored": str(to), "check": str(certified[w][field])}
        }
        for w, (field, to) in WRONG.items()
    }


@pytest.mark.parametrize("status", ["complete", "gaps"])
def test_window_in_which_the_feed_began_must_be_partial(
    database: Client, certified: dict[Window, dict[str, Any]], status: str
) -> None:
    """Any other status is reported."""
    window = ("1m", "x", "A/B", DAY // SECOND + 300)
    assert certified[window]["status"] == "partial"
    store_candles(database, {window: {**certified[window], "status": status}})
    part = verify(database).parts["certificates"]
    assert [example["fields"] for example in part.examples] == [
        {"status": {"stored": status, "check": "partial"}}
    ]


def test_candle_closed_during_an_outage_may_be_partial(
    database: Client, certified: dict[Window, dict[str, Any]]
) -> None:
    """Until the number of a later trade of its market shows what was missed."""
    last = ("1m", "x", "A/B", DAY // SECOND + 1200)
    assert certified[last]["status"] == "complete"
    store_candles(database, {last: {**certified[last], "status": "partial"}})
    assert verify(database).equal
    earlier = ("1m", "x", "C/D", DAY // SECOND + 360)
    store_candles(database, {earlier: {**certified[earlier], "status": "partial"}})
    part = verify(database).parts["certificates"]
    assert [example["fields"] for example in part.examples] == [
        {"status": {"stored": "partial", "check": "complete"}}
    ]


def test_verify_finds_a_rest_trade_that_is_not_marked(
    database: Client, certified: dict[Window, dict[str, Any]]
) -> None:
    """In each candle that contains it."""
    database.command("DELETE FROM silver_trades WHERE trade_id = '12'")
    store_trades(database, [replace(f, asked_for=False) for f in FILLS if f.trade_id == "12"])
    part = verify(database).parts["certificates"]
    assert part.mismatches == len([c for c in certified.values() if c["repaired"]]) == 6
    assert all(
        example["fields"] == {"repaired": {"stored": "1", "check": "0"}}
        for example in part.examples
    )


def test_outage_must_be_in_certificates_once_a_later_trade_was_received(
    database: Client, certified: dict[Window, dict[str, Any]]
) -> None:
    """Before that, a certificate may count it or not."""
    begins, latest = DAY + 29 * MINUTE, DAY + 30 * MINUTE
    names = ["exchange", "began", "ended"]
    database.insert("outages", [["x", moment(begins), moment(latest + SECOND)]], column_names=names)
    assert verify(database).equal
    last = ("1d", "x", "A/B", DAY // SECOND)
    down = certified[last]["feed_down_ms"]
    store_candles(database, {last: {**certified[last], "feed_down_ms": down + 61_000}})
    assert verify(database).equal
    store_candles(database, {last: {**certified[last], "feed_down_ms": down + 61_001}})
    assert verify(database).parts["certificates"].mismatches == 1
    store_candles(database, {last: certified[last]})
    database.insert("outages", [["x", moment(begins), moment(latest)]], column_names=names)
    touched = [w for w in certified if w[3] * SECOND < latest and begins < _end(w)]
    assert verify(database).parts["certificates"].mismatches == len(touched) > 0


def _end(window: Window) -> int:
    return (window[3] + oracle.LENGTHS[window[0]]) * SECOND


_TIMES = st.integers(0, 3 * 60).map(lambda n: DAY - 90 * MINUTE + n * MINUTE)
_OFFSETS = st.sampled_from([0, 1, 999, 1_000, 59_999_999])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A/B", "C/D"]), st.integers(0, 40), _TIMES, _OFFSETS, st.booleans()
        ),
        min_size=1,
        max_size=20,
        unique_by=lambda t: (t[0], t[1] or t[2:4]),
    ),
    st.lists(st.tuples(_TIMES, _OFFSETS, _OFFSETS), max_size=3, unique_by=lambda t: t[0]),
)
@examples(6)
def test_certificate_check_agrees_with_the_oracle(
    database: Client,
    trades: list[tuple[str, int, int, int, bool]],
    drawn_outages: list[tuple[int, int, int]],
) -> None:
    """For any missing ranges, orders of times, and outages."""
    for name in ("silver_trades", "ohlcv", "watermarks", "gaps", "outages"):
        database.command(f"TRUNCATE TABLE {name}")
    fills = [
        fill(number, time + offset, symbol=symbol, trade_id=f"{symbol}{n}", asked_for=by_rest)
        for n, (symbol, number, time, offset, by_rest) in enumerate(trades)
    ]
    latest = max(f.time for f in fills)
    outages = [
        (time + low, time + MINUTE + high)
        for time, low, high in drawn_outages
        if time + MINUTE + high <= latest
    ]
    disjoint = [
        (max([began, *(to for since, to in outages if since < began)]), ended)
        for began, ended in outages
    ]
    store(database, fills, [(a, b) for a, b in disjoint if b > a])
    result = verify(database)
    assert result.equal, report(result)


def test_overlapping_outages_count_once(database: Client) -> None:
    """Two processes may report the same time."""
    outages = [(DAY, DAY + MINUTE)]
    store(database, [fill(1, DAY), fill(2, DAY + 10 * MINUTE)], outages)
    rows = [["x", moment(DAY + SECOND), moment(DAY + 50 * SECOND)]]
    database.insert("outages", rows, column_names=["exchange", "began", "ended"])
    result = verify(database)
    assert result.equal, report(result)


def test_verify_skips_certificates_beyond_the_retention_of_trades(
    database: Client, certified: dict[Window, dict[str, Any]]
) -> None:
    """Their trades are deleted."""
    store_candles(database, {WINDOW: {**certified[WINDOW], "missing": 9}})
    assert verify(database).parts["certificates"].mismatches == 1
    database.command(
        "ALTER TABLE ohlcv UPDATE updated_at = now64(6) - INTERVAL 31 DAY WHERE true "
        "SETTINGS mutations_sync = 1"
    )
    assert verify(database).parts["certificates"].mismatches == 0
