"""Reading of the normalized topic: rows and columns give the same trades and faults."""

import json
from collections.abc import Sequence
from typing import Any, Final
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from candlewax.core.batch import UNKNOWN_EXCHANGE
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.row_batch import SMALL_BATCH_ROWS
from candlewax.core.trades.decode import DecodedFrames
from candlewax.exchanges import EXCHANGES
from candlewax.kafka.trade_messages import MessageValues
from candlewax.pipeline.steps import route
from candlewax.pipeline.steps.route import ReadTradesStep
from tests.support.batches import decoded_as_columns
from tests.support.trade_messages import BAD_MESSAGES, encoded, trade

RECEIVED: Final = trade()["received_at"]

AMOUNTS: Final = [
    "0", "0.0", "1", "007", "9" * 19, "1" + "0" * 18, "1" + "0" * 15, "9" * 20, "1.", ".5", "1e3",
    "-1", "+1", "", " 1", "1\n", "\u0661", 1, 1.5, "9" * 18 + "." + "9" * 12,
    "9" * 15 + "." + "9" * 18, *("0." + "0" * zeros + "1" for zeros in (11, 12, 17, 18)),
]  # fmt: skip

FIELDS: Final[dict[str, list[Any]]] = {
    "exchange": [*sorted(EXCHANGES), "nasdaq", "", 1],
    "symbol": ["A/B", "", "\0", '"\u00e9\\', None],
    "trade_id": ["", "x"],
    "sequence": [0, 1, 2**63, 2**64 - 1, 2**64, 10**40, -1, 7.0, True, "7"],
    "timestamp": [
        0, -1, RECEIVED + 60_000_000, RECEIVED + 60_000_001, 253_402_300_799_999_999, None,
    ],
    "side": ["BUY", "SELL", "buy", None],
    **dict.fromkeys(("price", "quantity", "quote_volume"), AMOUNTS),
    "conditions": [[], [""], ["ADL"], ["ADL", "X"], "ADL", [1], None],
    "received_at": [0, RECEIVED, -1, 253_402_300_800_000_000],
    "source_partition": [0, 2**32 - 1, 2**32],
    "source_offset": [0, 2**64 - 1, 2**64, 10**40],
    "source_index": [0, 2**16 - 1, 2**16],
    "via": ["websocket", "rest", "dump", "pigeon", None],
    "numbering": [0, 1, 2**32 - 1, 2**32],
    "outages": [None, [], [[1, 2]], [[1, 2], [5, 9]], [[7, 7]], [[1, 2], [3, 2]], [[1]], [[-1, 2]]],
    "kind": ["sample", "simulated", "real", "unreal", None],
    "shards": [1, 2, 64, 2**16 - 1, 2**16, 0, -1, "2", None],
    "more": [{"nested": [1.5]}],
}  # fmt: skip


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Messages with up to three changed fields, valid or nearly so."""
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=3, unique=True))
    content = trade(**{name: draw(st.sampled_from(FIELDS[name])) for name in names})
    return json.dumps(content, indent=draw(st.sampled_from([None, None, None, 1]))).encode()


VALID: Final = st.builds(
    lambda sequence, exchange: encoded(trade(sequence=sequence, exchange=exchange)),
    st.integers(1, 9),
    st.sampled_from(sorted(EXCHANGES)),
)
VALUES: Final = st.lists(
    messages() | VALID | st.sampled_from([value for value, _ in BAD_MESSAGES]), max_size=6
)


def read(values: Sequence[bytes], *, by_rows: bool) -> tuple[list[tuple[str, Any]], set[Any]]:
    """Return the output of the step, and the kinds and numbers of shards it checked."""
    checked: set[Any] = set()
    offsets = [5 + 2 * place for place in range(len(values))]
    step = ReadTradesStep(
        sorted(EXCHANGES)[1:],
        admit=lambda *one: checked.add(one),
        check_shards=lambda _, counts: checked.update(counts.items()),
    )
    with mock.patch.object(route, "SMALL_BATCH_ROWS", SMALL_BATCH_ROWS if by_rows else -1):
        return list(step(MessageValues("t", 3, offsets, list(values)))), checked


def assert_equal_by_rows_and_columns(values: list[bytes]) -> None:
    """Compare trades, outages, dead letters, kinds and numbers of shards."""
    by_rows, checked_by_rows = read(values, by_rows=True)
    by_columns, checked_by_columns = read(values, by_rows=False)
    assert checked_by_rows == checked_by_columns
    assert [key for key, _ in by_rows] == [key for key, _ in by_columns]
    for (key, found), (_, expected) in zip(by_rows, by_columns, strict=True):
        assert isinstance(expected, DecodedFrames)
        assert isinstance(found, DecodedFrames if key == UNKNOWN_EXCHANGE else DecodedRows)
        as_columns = decoded_as_columns(found)
        assert as_columns.exchange == expected.exchange
        for name in ("bronze", "trades", "dead_letters", "outages"):
            assert_frame_equal(getattr(as_columns, name), getattr(expected, name))
        assert not as_columns.events
        assert not as_columns.subscriptions


@given(VALUES)
def test_rows_and_columns_read_the_same_trades_and_faults(values: list[bytes]) -> None:
    """For valid, odd and broken messages in one poll."""
    assert_equal_by_rows_and_columns(values)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_message_with_odd_field_is_read_equally(name: str) -> None:
    """Each value alone, also in a trade with a condition."""
    exchange = sorted(EXCHANGES)[1]
    for value in FIELDS[name]:
        for more in ({}, {"conditions": ["ADL"]}):
            fields = {"exchange": exchange, **more, name: value}
            assert_equal_by_rows_and_columns([encoded(trade(**fields))])


def test_each_bad_message_has_the_same_fault() -> None:
    for value, _ in BAD_MESSAGES:
        assert_equal_by_rows_and_columns([value])


@pytest.mark.parametrize("by_rows", [True, False])
def test_last_message_of_each_number_of_shards_is_checked(by_rows: bool) -> None:
    """With its place, beside others without a number and without a trade."""
    numbers = [("kraken", 2), ("coinbase", 2), ("kraken", 4), ("kraken", 2), ("kraken", None)]
    values = [encoded(trade(exchange=exchange, shards=count)) for exchange, count in numbers]
    _, checked = read([b"", *values, b"{}"], by_rows=by_rows)
    assert checked == {(("kraken", 2), 4), (("coinbase", 2), 2), (("kraken", 4), 3)}


@pytest.mark.parametrize("count", [SMALL_BATCH_ROWS, SMALL_BATCH_ROWS + 1])
def test_more_messages_than_a_small_batch_are_read_as_columns(count: int) -> None:
    values = [encoded(trade(exchange="kraken", sequence=n)) for n in range(1, count + 1)]
    ((key, decoded),), _ = read(values, by_rows=True)
    assert key == "kraken"
    assert isinstance(decoded, DecodedRows if count <= SMALL_BATCH_ROWS else DecodedFrames)
    assert len(decoded.trades) == count
