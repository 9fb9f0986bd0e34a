"""Settings of retention: accepted values, and messages about invalid ones."""

from datetime import timedelta
from pathlib import Path

import pytest

from candlewax.runtime.keep_settings import Retention
from candlewax.runtime.settings import SettingsError, load


def read(**settings: str) -> Retention:
    return load(
        {f"CANDLEWAX_{name}": text for name, text in settings.items()}, Path("no such file")
    ).retention


def test_candles_are_kept_forever_by_default() -> None:
    """Frames, trades and dead letters are not."""
    days = {"bronze_frames": 7, "silver_trades": 30, "dead_letters": 30}
    keep: dict[str, timedelta | None] = {name: timedelta(n) for name, n in days.items()}
    assert read() == Retention({**keep, "ohlcv": None, "ohlcv_revisions": None})


def test_times_are_days_years_or_forever() -> None:
    """A year has 365 days."""
    found = read(KEEP_FRAMES="1d", KEEP_TRADES="2y", KEEP_DEAD_LETTERS="forever", KEEP_CANDLES="2y")
    assert found.keep == {
        "bronze_frames": timedelta(days=1),
        "silver_trades": timedelta(days=730),
        "dead_letters": None,
        "ohlcv": timedelta(days=730),
        "ohlcv_revisions": None,
    }


@pytest.mark.parametrize(
    ("name", "text", "least"),
    [
        ("KEEP_FRAMES", "0d", 1),
        ("KEEP_FRAMES", "-1d", 1),
        ("KEEP_FRAMES", "7", 1),
        ("KEEP_FRAMES", "12h", 1),
        ("KEEP_FRAMES", "7 d", 1),
        ("KEEP_TRADES", "2d", 3),
        ("KEEP_DEAD_LETTERS", "1.5d", 1),
        ("KEEP_CANDLES", "51y", 3),
        ("KEEP_CANDLES", "Forever", 3),
        ("KEEP_REVISIONS", "never", 1),
    ],
)
def test_wrong_time_is_named_with_what_the_setting_takes(name: str, text: str, least: int) -> None:
    """ClickHouse knows no times after 2106."""
    with pytest.raises(SettingsError) as caught:
        read(**{name: text})
    assert str(caught.value) == (
        f"CANDLEWAX_{name}: got {text!r}, takes whole days from {least}d, or years of 365 days to "
        "50y, or forever, as 30d or 2y"
    )


@pytest.mark.parametrize(
    ("settings", "beginning"),
    [
        (
            {"KEEP_FRAMES": "forever"},
            "CANDLEWAX_KEEP_DEAD_LETTERS: got '30d', takes at least as long as "
            "CANDLEWAX_KEEP_FRAMES, forever: ",
        ),
        (
            {"KEEP_FRAMES": "8d", "KEEP_TRADES": "7d"},
            "CANDLEWAX_KEEP_TRADES: got '7d', takes at least as long as CANDLEWAX_KEEP_FRAMES, 8d:",
        ),
        (
            {"KEEP_CANDLES": "29d"},
            "CANDLEWAX_KEEP_CANDLES: got '29d', takes at least as long as CANDLEWAX_KEEP_TRADES, "
            "30d: ",
        ),
        (
            {"KEEP_CANDLES": "2y", "COLD": "/archive"},
            "CANDLEWAX_KEEP_CANDLES: got '2y', takes forever with CANDLEWAX_COLD: ",
        ),
    ],
)
def test_rows_that_checks_need_are_not_dropped_first(
    settings: dict[str, str], beginning: str
) -> None:
    """Otherwise a check would count them as missing."""
    with pytest.raises(SettingsError) as caught:
        read(**settings)
    assert str(caught.value).startswith(beginning)


def test_cold_tier_drops_rows_by_the_same_settings() -> None:
    """Equal times are accepted."""
    found = read(COLD="/archive", KEEP_FRAMES="30d", KEEP_REVISIONS="forever")
    assert found.is_cold
    assert found.keep["bronze_frames"] == timedelta(days=30)
