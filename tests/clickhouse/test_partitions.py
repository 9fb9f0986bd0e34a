"""Rows are split into groups that one insert of ClickHouse accepts."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from candlewax.clickhouse.partitions import split_by_partitions

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("days", [99, 100, 101, 200, 201, 250])
def test_group_touches_a_hundred_days_at_most(days: int) -> None:
    """Each row is in one group, for any order of days and of frames."""
    places = [(n * 37 + part) % days for part in range(2) for n in range(days)]
    times = [START + timedelta(days=place, hours=n % 24) for n, place in enumerate(places)]
    frames = [
        pl.DataFrame({"timestamp": times[begin::3], "n": range(begin, len(times), 3)})
        for begin in range(3)
    ]
    groups = split_by_partitions("silver_trades", frames)
    touched = [{time.date() for frame in group for time in frame["timestamp"]} for group in groups]
    assert max(map(len, touched)) <= 100
    assert len(groups) == -(-days // 100)
    rows = sorted(n for group in groups for frame in group for n in frame["n"])
    assert rows == list(range(len(times)))
