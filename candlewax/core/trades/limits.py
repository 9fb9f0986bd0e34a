"""What a trade must keep to."""

from typing import Final

AHEAD_US: Final = 60_000_000
"""How far a trade's time may lie ahead of its frame's receive time, in
microseconds, so that one broken clock cannot push the watermark."""

SLACK_US: Final = 1_000_000
"""How far a trade's time may lie outside those of its neighbours by number, in microseconds:
exchanges number trades in the order of time, or nearly so."""

QUANTITY_LIMIT: Final = 10**18
QUOTE_VOLUME_LIMIT: Final = 10**15
"""A trade stays below these, so that the sums of a million such trades still fit
their columns."""

PLAIN_NUMBER: Final = r"[0-9]{1,19}(?:\.[0-9]{1,12})?"
"""Amounts as exchanges write them nearly always."""
