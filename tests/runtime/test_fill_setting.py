"""The setting of the span before the start."""

from datetime import timedelta
from pathlib import Path

import pytest

from candlewax.runtime.settings import SettingsError, load

NO_FILE = Path("no such file")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "CANDLEWAX_FILL: takes CANDLEWAX_FEED=live"),
        (
            {"CANDLEWAX_FEED": "live", "CANDLEWAX_BROKERS": "a:1"},
            "CANDLEWAX_FILL: takes no CANDLEWAX_BROKERS",
        ),
    ],
)
def test_fill_needs_a_live_feed_and_no_broker(settings: dict[str, str], text: str) -> None:
    """Nothing would be filled otherwise."""
    with pytest.raises(SettingsError, match=text):
        load({"CANDLEWAX_FILL": "24h", **settings}, NO_FILE)
    live = load({"CANDLEWAX_FILL": "24h", "CANDLEWAX_FEED": "live"}, NO_FILE)
    assert live.fill == timedelta(days=1)
