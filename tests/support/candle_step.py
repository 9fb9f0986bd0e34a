"""The candle step with empty tables and a clock that tests move."""

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.core.candles.combine import SECOND
from candlewax.core.candles.open_candles import EMPTY
from candlewax.core.snapshots import save_open_candles
from candlewax.pipeline.steps.candles import CandleStep
from candlewax.runtime.counters import Counters
from tests.support.candles import DAY

MINUTE = 60 * SECOND


class Clock:
    """A wall clock that tests move."""

    def __init__(self) -> None:
        self.now = DAY

    def __call__(self) -> int:
        return self.now


def make_step(tables: Database, clock: Clock, *, is_live: bool = True) -> CandleStep:
    """A candle step with empty tables."""
    return CandleStep(
        StateLoader(tables), Counters(), save_open_candles(EMPTY), is_live=is_live, now=clock
    )
