"""Times that exchanges send as text."""

import polars as pl
import pytest

from candlewax.exchanges.protocol.times import parse_seconds, seconds_time


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("1598850699", 1_598_850_699_000_000),
        ("1598850699.5", 1_598_850_699_500_000),
        ("1598850699.123456", 1_598_850_699_123_456),
        ("1598850699.1234569", 1_598_850_699_123_456),
        ("12345678901", 12_345_678_901_000_000),
        # Milliseconds, or nanoseconds, in a field of seconds are not cut to seconds.
        ("123456789012", None),
        ("1598850699000", None),
        ("1598850699000000000", None),
        ("1598850699000.5", None),
        ("1598850699.", None),
        (".5", None),
        ("-1", None),
        ("1e9", None),
        ("", None),
    ],
)
def test_seconds_are_read_alike_as_column_and_one_by_one(text: str, time_us: int | None) -> None:
    """Digits beyond the microsecond are cut, whole ones never."""
    column = pl.DataFrame({"time": [text]}).select(seconds_time("time"))["time"]
    assert column.to_list() == [time_us]
    assert parse_seconds(text) == time_us
