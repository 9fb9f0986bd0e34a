"""Restarted numbers, and known numbers with other content, through the whole pipeline."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from bytewax.recovery import init_db_dir
from hypothesis import given
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from candlewax.verification.verify import check_totals, verify
from tests.support.examples import examples
from tests.support.oracle import LENGTHS, Fill
from tests.support.playing import EPOCH_ZERO, Frame, binance, clear, play, received

pytestmark = pytest.mark.slow("each test runs the whole pipeline", seconds=25)

TABLES = ("contradictions", "numberings", "gaps")


def fill(number: int, second: int, price: int = 7, symbol: str = "BTC/USDT") -> Fill:
    time = EPOCH_ZERO + second * 1_000_000
    return Fill("binance", symbol, str(number), number, time, True, Decimal(price), Decimal(1))


def frames(fills: list[Fill]) -> list[Frame]:
    """Return a frame of each trade, received when it happened but not before the previous one."""
    result, now = [], 0
    for seq, trade in enumerate(fills):
        now = max(now, trade.time)
        result.append(binance(seq, now, trade))
    return result


def empty(tables: Database) -> None:
    clear(tables)
    for table in (*TABLES, "dead_letters"):
        tables.client.command(f"TRUNCATE TABLE {table}")


def statuses(tables: Database) -> dict[tuple[str, int], str]:
    """Return the status of each candle, by timeframe and seconds since the first test time."""
    rows = tables.query(
        "SELECT toString(timeframe), toUnixTimestamp(window_start), toString(status) "
        "FROM ohlcv FINAL"
    ).rows()
    return {(timeframe, start): status for timeframe, start, status in rows}


def of_time(second: int) -> dict[str, int]:
    """Return the windows that contain a time, by timeframe."""
    moment = EPOCH_ZERO // 1_000_000 + second
    return {name: moment // length * length for name, length in LENGTHS.items()}


@given(
    st.integers(0, 3), st.integers(1, 4), st.lists(st.integers(0, 60), max_size=4), st.booleans(),
)  # fmt: skip
@examples(4)
def test_restarted_numbers_open_a_numbering(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    skipped: int,
    first: int,
    cuts: list[int],
    recover: bool,
) -> None:
    """Gaps of each numbering are found by itself, for any batches and restarts."""
    empty(tables)
    old = [fill(5_000 + n + (skipped if n >= 10 else 0), 30 * n) for n in range(20)]
    new = [fill(first + n + (skipped if n >= 25 else 0), 700 + 30 * n, 9) for n in range(40)]
    late = [fill(5_010, 299)] if skipped else []
    fills = [*old, *new[:20], *late, *new[20:]]
    store: Path | None = None
    if recover:
        store = tmp_path_factory.mktemp("recovery")
        init_db_dir(store, 1)
    batches = received(frames(fills), cuts)
    for end in range(1, len(batches) + 1):
        # With a recovery store a process goes on in its feed where the one before ended.
        play(batches[:end] if recover else batches[end - 1 : end], tables, store)
    rows = tables.query("SELECT numbering, sequence FROM silver_trades FINAL").rows()
    assert sorted(rows) == sorted(
        [(0, trade.sequence) for trade in [*old, *late]] + [(1, trade.sequence) for trade in new]
    )
    assert tables.query("SELECT count() FROM dead_letters").item() == 0
    gaps = tables.query(
        "SELECT numbering, first_sequence, last_sequence, missing FROM gaps FINAL WHERE missing > 0"
    ).rows()
    holes = {(0, 5_010 + len(late), 5_009 + skipped), (1, first + 25, first + 24 + skipped)}
    assert {(n, low, high) for n, low, high, _ in gaps} <= {
        (0, 5_010, 5_009 + skipped), *holes
    }  # fmt: skip
    assert sum(missing for *_, missing in gaps) == max(0, skipped - len(late)) + skipped
    status = statuses(tables)
    assert status["1m", of_time(570)["1m"]] == "partial"
    assert status["1m", of_time(700)["1m"]] == "partial"
    assert status["1m", of_time(800)["1m"]] == "complete"
    check = verify(tables.client)
    assert check.equal, check
    assert check_totals(tables.client) == []


@pytest.mark.parametrize(
    ("change", "restart"),
    [
        ({"price": Decimal(8)}, True),
        ({"quantity": Decimal(2)}, False),
        ({"bought": False}, True),
        ({"time": EPOCH_ZERO + 400 * 1_000_000}, False),
        ({"time": EPOCH_ZERO + 400 * 1_000_000}, True),
    ],
)
def test_known_number_with_other_content_is_a_contradiction(
    tables: Database, change: dict[str, object], *, restart: bool
) -> None:
    """The first trade is kept, and no candle of either is complete afterwards."""
    empty(tables)
    fills = [fill(n + 1, 30 * n) for n in range(30)]
    other = replace(fills[9], **change)  # type: ignore[arg-type]  # of its fields
    every = frames([*fills, other, *[fill(n + 1, 30 * n) for n in range(30, 40)]])
    repeated = frames([*fills, fills[9]])
    for part in (every[:20], every[20:35], every[35:]) if restart else (every,):
        play(received(part), tables)
    (row,) = tables.query(
        "SELECT sequence, stored_price, price, toUnixTimestamp64Micro(timestamp) AS at "
        "FROM contradictions FINAL"
    ).rows()
    assert row == (10, Decimal(7), other.price, other.time)
    letters = tables.query("SELECT toString(scope), reason, detail FROM dead_letters FINAL").rows()
    assert [letter[:2] for letter in letters] == [("frame", "contradicting_trade")]
    assert "number 10 of BTC/USDT is stored as BUY 1 at 7" in letters[0][2]
    assert tables.query("SELECT count() FROM silver_trades FINAL").item() == 40
    status = statuses(tables)
    for second in {270, (other.time - EPOCH_ZERO) // 1_000_000}:
        assert status["1m", of_time(second)["1m"]] == "unverified"
        assert status["5m", of_time(second)["5m"]] == "unverified"
    assert status["1m", of_time(600)["1m"]] == "complete"
    assert verify(tables.client).equal
    assert check_totals(tables.client) == []
    # What comes again is the same: a repeat of the one, a contradiction of the other.
    play(received(every), tables)
    play(received(repeated), tables)
    assert tables.query("SELECT count() FROM contradictions FINAL").item() == 1
    assert statuses(tables) == status
    assert verify(tables.client).equal


def test_corrected_dump_gives_a_contradiction_for_each_stored_trade(tables: Database) -> None:
    """No candle of these trades is complete."""
    empty(tables)
    fills = [fill(n + 1, 20 * n) for n in range(30)]
    play(received(frames(fills)), tables)
    play(received(frames([replace(trade, price=Decimal(6)) for trade in fills])), tables)
    assert tables.query("SELECT count() FROM contradictions FINAL").item() == 30
    assert "complete" not in statuses(tables).values()
    assert verify(tables.client).equal


def test_known_number_without_its_trade_is_counted_or_a_contradiction(
    tables: Database, tmp_path: Path
) -> None:
    """Retention has deleted the stored trade. By its time the new one is a duplicate or not."""
    empty(tables)
    init_db_dir(tmp_path, 1)
    fills = [fill(n, 30 * n) for n in range(1, 21)]
    others = [
        replace(fills[4], price=Decimal(8)),
        replace(fills[19], time=fills[19].time + 60_000_000),
    ]
    (before, after) = received(frames([*fills, fills[0], *others]), [20])
    play([before], tables, tmp_path)
    tables.client.command("TRUNCATE TABLE silver_trades")
    counters = play([before, after], tables, tmp_path)
    assert counters.total("uncompared") == 2
    rows = tables.query("SELECT sequence, stored_quantity, quantity FROM contradictions").rows()
    assert rows == [(20, Decimal(0), Decimal(1))]
    (detail,) = tables.query("SELECT detail FROM dead_letters").rows()
    assert "number 20 of BTC/USDT is known, not with this time" in detail[0]
    assert statuses(tables)["1m", of_time(600)["1m"]] != "complete"


@pytest.mark.parametrize(("cuts", "recover"), [([20], True), ([7, 20, 23, 35, 45], False)])
def test_backfilled_trades_from_before_a_restart_of_numbers_get_an_older_numbering(
    tables: Database, tmp_path: Path, cuts: list[int], *, recover: bool
) -> None:
    """Even if a backfill stores them last. No gap lies between them and the later ones."""
    empty(tables)
    new = [fill(3 + n, 7_200 + 30 * n) for n in range(30)]
    day = [fill(9_000 + n + (n >= 10), 30 * n, 9) for n in range(20)]
    earlier = [fill(8_990 + n, 30 * n - 300, 9) for n in range(10)]
    store = tmp_path if recover else None
    if store:
        init_db_dir(store, 1)
    batches = received(frames([*new[:20], *day, *earlier, *new[20:], new[0], day[0]]), cuts)
    for end in range(1, len(batches) + 1):
        play(batches[:end] if recover else batches[end - 1 : end], tables, store)
    rows = tables.query("SELECT numbering, sequence FROM silver_trades FINAL").rows()
    older = [*earlier, *day]
    assert sorted(rows) == sorted(
        [(0, trade.sequence) for trade in new] + [(1, trade.sequence) for trade in older]
    )
    assert tables.query("SELECT count() FROM dead_letters").item() == 0
    gaps = "SELECT numbering, first_sequence, last_sequence FROM gaps FINAL WHERE missing > 0"
    assert tables.query(gaps).rows() == [(1, 9_010, 9_010)]
    status_by_window = statuses(tables)
    for second, status in (
        (-300, "partial"),
        (0, "complete"),
        (570, "partial"),
        (7_200, "partial"),
    ):
        assert status_by_window["1m", of_time(second)["1m"]] == status
    check = verify(tables.client)
    assert check.equal, check
    assert check_totals(tables.client) == []
