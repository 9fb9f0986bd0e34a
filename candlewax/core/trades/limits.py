"""Limits of a valid trade."""

from typing import Final

AHEAD_US: Final = 60_000_000
"""Most microseconds that a trade's time may lie ahead of its frame's receive time.

The limit keeps one broken clock from pushing the watermark.
"""

SLACK_US: Final = 1_000_000
"""Most microseconds that a trade's time may lie outside those of its neighbours by number.

Exchanges number trades in the order of time, or nearly so.
"""

QUANTITY_LIMIT: Final = 10**18
QUOTE_VOLUME_LIMIT: Final = 10**15
"""A trade stays below these limits, so that sums over a million such trades fit their columns."""

PLAIN_NUMBER: Final = r"[0-9]{1,19}(?:\.[0-9]{1,12})?"
"""Pattern of amounts as exchanges nearly always write them."""
