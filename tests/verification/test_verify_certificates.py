"""What certificates say is counted again; and longer candles are what their minutes make."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given
from hypothesis import strategies as st

from candlewax.verification.verify import report, verify
from tests.support import oracle
from tests.support.candles import DAY
from tests.support.examples import examples
from tests.support.oracle import Fill, Window
from tests.support.stored import FIELDS as CANDLE_FIELDS
from tests.verification.test_verify import (
    moment,
    store_candles,
    store_gaps,
    store_trades,
    store_watermark,
)

pytestmark = pytest.mark.slow("each example verifies a database", seconds=20)

SECOND = 1_000_000
MINUTE = 60 * SECOND


def fill(number: int, time: int, **more: Any) -> Fill:
    plain = Fill(
        "x", "A/B", str(number), number, time, number % 2 == 0, Decimal(number), Decimal(1)
    )
    return replace(plain, **more)


def store(
    client: Client,
    fills: Sequence[Fill],
    outages: Sequence[tuple[int, int]] = (),
) -> dict[Window, dict[str, Any]]:
    """Everything as it must be."""
    marks = oracle.watermarks(fills)
    certificates = oracle.certificates(fills, {"x": list(outages)})
    candles = oracle.candles(fills, marks)
    full = {window: {**candle, **certificates[window]} for window, candle in candles.items()}
    store_trades(client, fills)
    store_watermark(client, marks["x"])
    store_candles(client, full)
    store_gaps(client, fills)
    if outages:
        rows = [["x", moment(began), moment(ended)] for began, ended in outages]
        client.insert("outages", rows, column_names=["exchange", "began", "ended"])
    return full


# Five minutes past midnight; a hole over three minutes, one of them without a trade;
# a trade without a number of another symbol, one that counts nowhere, and one by REST.
FILLS = [
    fill(5, DAY + 5 * MINUTE),
    fill(6, DAY + 6 * MINUTE),
    fill(10, DAY + 8 * MINUTE + 59 * SECOND),
    fill(11, DAY + 9 * MINUTE, conditions=("ADL",)),
    fill(12, DAY + 9 * MINUTE, asked_for=True),
    fill(13, DAY + 20 * MINUTE),
    Fill("x", "E/F", "e1", 0, DAY + 6 * MINUTE, True, Decimal(2), Decimal(2)),
    fill(1, DAY + 6 * MINUTE, symbol="C/D", trade_id="c1"),
    fill(2, DAY + 30 * MINUTE, symbol="C/D", trade_id="c2"),
]
OUTAGES = [
    (DAY + 6 * MINUTE + 30 * SECOND, DAY + 8 * MINUTE + 1_999),
    (DAY + 9 * MINUTE, DAY + 9 * MINUTE + 1),
]


@pytest.fixture
def right(database: Client) -> dict[Window, dict[str, Any]]:
    """Stored as it must be."""
    return store(database, FILLS, OUTAGES)


def test_verify_accepts_right_certificates_of_each_status(
    database: Client, right: dict[Window, dict[str, Any]]
) -> None:
    """Of every status there is."""
    found = verify(database)
    assert found.equal, report(found)
    statuses = {candle["status"] for candle in right.values()}
    assert statuses == {"forming", "complete", "gaps", "partial", "unverified"}
    assert {c["feed_down_ms"] for c in right.values()} > {0, 30_000}
    assert {candle["repaired"] for candle in right.values()} == {0, 1}


EDGES = [
    # The feed begins with number 5 where a minute begins, and an earlier trade has a later number.
    fill(5, DAY + MINUTE),
    fill(6, DAY + MINUTE // 2),
    # Numbers are missing up to where a minute begins, and from there on.
    fill(7, DAY + 2 * MINUTE + 30 * SECOND),
    fill(10, DAY + 3 * MINUTE),
    fill(20, DAY + 3 * MINUTE + 10 * SECOND),
    # From where a minute ends on, of which a trade came with a later number.
    fill(21, DAY + 6 * MINUTE),
    fill(25, DAY + 6 * MINUTE + 10 * SECOND),
    fill(26, DAY + 5 * MINUTE + 50 * SECOND),
    # The watermark stands where this minute ends.
    fill(27, DAY + 9 * MINUTE),
    fill(28, DAY + 10 * MINUTE + SECOND),
]


def test_the_check_agrees_with_the_oracle_at_the_edges_of_windows(database: Client) -> None:
    """Feeds that begin, gaps that begin and end, and the watermark: exactly there."""
    full = store(database, EDGES)
    minutes = {
        (window[3] - DAY // SECOND) // 60: (candle["closed"], candle["status"], candle["missing"])
        for window, candle in full.items()
        if window[0] == "1m"
    }
    assert minutes == {
        0: (True, "complete", 0), 1: (True, "partial", 0), 2: (True, "gaps", 2),
        3: (True, "gaps", 11), 5: (True, "complete", 0), 6: (True, "gaps", 3),
        9: (True, "complete", 0), 10: (False, "forming", 0),
    }  # fmt: skip
    found = verify(database)
    assert found.equal, report(found)


WINDOW = ("1m", "x", "A/B", DAY // SECOND + 360)

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
    database: Client, right: dict[Window, dict[str, Any]]
) -> None:
    """Those candles, those fields, both values."""
    store_candles(database, {w: {**right[w], field: to} for w, (field, to) in WRONG.items()})
    part = verify(database).parts["certificates"]
    assert (part.checked, part.mismatches) == (len(right), len(WRONG))
    assert {
        (e["timeframe"], e["symbol"], e["window_start"][-8:]): e["fields"] for e in part.examples
    } == {
        (w[0], w[2], str(moment(w[3] * SECOND))[11:19]): {
            field: {"stored": str(to), "check": str(right[w][field])}
        }
        for w, (field, to) in WRONG.items()
    }


@pytest.mark.parametrize("status", ["complete", "gaps"])
def test_window_in_which_the_feed_began_must_be_partial(
    database: Client, right: dict[Window, dict[str, Any]], status: str
) -> None:
    """Nothing else will do."""
    window = ("1m", "x", "A/B", DAY // SECOND + 300)
    assert right[window]["status"] == "partial"
    store_candles(database, {window: {**right[window], "status": status}})
    part = verify(database).parts["certificates"]
    assert [example["fields"] for example in part.examples] == [
        {"status": {"stored": status, "check": "partial"}}
    ]


def test_candle_closed_during_an_outage_may_be_partial(
    database: Client, right: dict[Window, dict[str, Any]]
) -> None:
    """As long as no later trade of its market tells by its number what was missed."""
    last = ("1m", "x", "A/B", DAY // SECOND + 1200)
    assert right[last]["status"] == "complete"
    store_candles(database, {last: {**right[last], "status": "partial"}})
    assert verify(database).equal
    earlier = ("1m", "x", "C/D", DAY // SECOND + 360)
    store_candles(database, {earlier: {**right[earlier], "status": "partial"}})
    part = verify(database).parts["certificates"]
    assert [example["fields"] for example in part.examples] == [
        {"status": {"stored": "partial", "check": "complete"}}
    ]


def test_verify_finds_a_rest_trade_that_is_not_marked(
    database: Client, right: dict[Window, dict[str, Any]]
) -> None:
    """In all candles that hold it."""
    database.command("DELETE FROM silver_trades WHERE trade_id = '12'")
    store_trades(database, [replace(f, asked_for=False) for f in FILLS if f.trade_id == "12"])
    part = verify(database).parts["certificates"]
    assert part.mismatches == len([c for c in right.values() if c["repaired"]]) == 6
    assert all(
        example["fields"] == {"repaired": {"stored": "1", "check": "0"}}
        for example in part.examples
    )


def test_outage_counts_once_a_later_trade_has_come(
    database: Client, right: dict[Window, dict[str, Any]]
) -> None:
    """The certificates that it changes are written by then; before that they may be."""
    begins, latest = DAY + 29 * MINUTE, DAY + 30 * MINUTE
    names = ["exchange", "began", "ended"]
    database.insert("outages", [["x", moment(begins), moment(latest + SECOND)]], column_names=names)
    assert verify(database).equal
    last = ("1d", "x", "A/B", DAY // SECOND)
    down = right[last]["feed_down_ms"]
    store_candles(database, {last: {**right[last], "feed_down_ms": down + 61_000}})
    assert verify(database).equal
    store_candles(database, {last: {**right[last], "feed_down_ms": down + 61_001}})
    assert verify(database).parts["certificates"].mismatches == 1
    store_candles(database, {last: right[last]})
    database.insert("outages", [["x", moment(begins), moment(latest)]], column_names=names)
    touched = [w for w in right if w[3] * SECOND < latest and begins < _end(w)]
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
    downs: list[tuple[int, int, int]],
) -> None:
    """Holes of any shape and in any order of times, outages that begin and end anywhere."""
    for name in ("silver_trades", "ohlcv", "watermarks", "gaps", "outages"):
        database.command(f"TRUNCATE TABLE {name}")
    fills = [
        fill(number, time + offset, symbol=symbol, trade_id=f"{symbol}{n}", asked_for=by_rest)
        for n, (symbol, number, time, offset, by_rest) in enumerate(trades)
    ]
    latest = max(f.time for f in fills)
    outages = [
        (time + low, time + MINUTE + high)
        for time, low, high in downs
        if time + MINUTE + high <= latest
    ]
    apart = [
        (max([began, *(to for since, to in outages if since < began)]), ended)
        for began, ended in outages
    ]
    store(database, fills, [(a, b) for a, b in apart if b > a])
    found = verify(database)
    assert found.equal, report(found)


def test_overlapping_outages_count_once(database: Client) -> None:
    """As two processes may tell of the same time."""
    outages = [(DAY, DAY + MINUTE)]
    store(database, [fill(1, DAY), fill(2, DAY + 10 * MINUTE)], outages)
    rows = [["x", moment(DAY + SECOND), moment(DAY + 50 * SECOND)]]
    database.insert("outages", rows, column_names=["exchange", "began", "ended"])
    found = verify(database)
    assert found.equal, report(found)


def test_verify_skips_certificates_beyond_the_retention_of_trades(
    database: Client, right: dict[Window, dict[str, Any]]
) -> None:
    """There is nothing to count any more."""
    store_candles(database, {WINDOW: {**right[WINDOW], "missing": 9}})
    assert verify(database).parts["certificates"].mismatches == 1
    database.command(
        "ALTER TABLE ohlcv UPDATE updated_at = now64(6) - INTERVAL 31 DAY WHERE true "
        "SETTINGS mutations_sync = 1"
    )
    assert verify(database).parts["certificates"].mismatches == 0


FIELDS = (*CANDLE_FIELDS[:-2], "repaired")


def test_verify_finds_a_longer_candle_that_differs_from_its_minutes(
    database: Client, right: dict[Window, dict[str, Any]]
) -> None:
    """By the smallest difference in one field: one for each candle here."""
    longer = [window for window in right if window[0] != "1m"]
    wrong = dict(zip(longer, FIELDS, strict=False))
    assert len(wrong) == len(FIELDS)
    for window, field in wrong.items():
        value = right[window][field]
        small = Decimal("1e-18") if field.startswith(("quote", "buy_quote")) else Decimal("1e-12")
        changed = value + (small if isinstance(value, Decimal) else 1)
        store_candles(database, {window: {**right[window], field: changed}})
    part = verify(database).parts["timeframes"]
    assert (part.checked, part.mismatches) == (len(longer), len(FIELDS))
    assert sorted(
        (e["timeframe"], e["symbol"], e["problem"], *e["fields"]) for e in part.examples
    ) == sorted((w[0], w[2], "mismatch", field) for w, field in wrong.items())


def test_verify_finds_longer_candles_without_minutes_and_the_reverse(
    database: Client, right: dict[Window, dict[str, Any]]
) -> None:
    """One of each."""
    database.command("DELETE FROM ohlcv WHERE timeframe = '5m' AND symbol = 'E/F'")
    candle = right[WINDOW]
    store_candles(database, {("1h", "x", "G/H", DAY // SECOND): candle})
    part = verify(database).parts["timeframes"]
    assert sorted((e["timeframe"], e["symbol"], e["problem"]) for e in part.examples) == [
        ("1h", "G/H", "no_minutes"),
        ("5m", "E/F", "missing"),
    ]
