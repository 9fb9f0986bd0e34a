"""One exchange that does several things wrong, one after another."""

from functools import partial

from candlewax.simulator.server import Simulator
from tests.faults.alone import Alone, alone
from tests.faults.fault import Fault, Outcome
from tests.faults.incomplete import LACKING
from tests.faults.place import Place
from tests.faults.published import compare
from tests.faults.refusals import BEHIND, REFUSED, accept, haste, look, refuse

MARKETS = REFUSED[:1]
EXCHANGE = MARKETS[0][0]

_CLOSED = """
SELECT toString(status) AS status, count() FROM ohlcv FINAL
WHERE closed GROUP BY status ORDER BY status
"""

AHEAD = 50.0
"""Seconds that its clock is ahead for a while."""


def all_at_one_exchange(place: Place) -> Outcome:
    """Its numbers begin anew, it refuses a market, its first answers by REST lack trades, and its
    clock is stepped ahead and back, with trades missed after each; the other two go on.
    """
    outcome = Outcome()
    with alone(place, "everything", BEHIND, **haste(place)) as stage:
        _begin_anew(stage)
        stage.flow()
        stage.settle()
        refuse(stage, MARKETS)
        outcome.wrong += look(stage)
        accept(stage, MARKETS)
        stage.until_subscribed()
        stage.settle()
        stage.at(lambda simulator: simulator.lack(LACKING))
        _miss(stage)
        if stage.simulator.incomplete_answers:
            outcome.wrong.append("not all answers lacked what they were to lack")
        for seconds in (AHEAD, 0.0):
            stage.step_clock(EXCHANGE, seconds)
            _miss(stage)
        stage.finish()
        outcome.wrong += stage.end()
        outcome.account = compare(stage.tables, stage.simulator.journal)
        windows = stage.tables.query(_CLOSED).rows()
        outcome.seen = ", ".join(f"{count:,} candles {status}" for status, count in windows)
    return outcome


def _begin_anew(stage: Alone) -> None:
    stage.at(lambda simulator: simulator.player.restart_ids(EXCHANGE))


def _miss(stage: Alone) -> None:
    """Let trades be missed, until REST has told them."""
    seconds = min(max(stage.place.size.absence, 1), 5)
    stage.come()
    stage.at(partial(Simulator.stall, exchange=EXCHANGE, seconds=seconds))
    stage.settle()


FAULTS = [
    Fault(
        "all-at-one-exchange",
        "an exchange begins its numbers anew, refuses a market, answers by REST without some "
        f"trades, and steps its clock {AHEAD:g} s ahead and back, one after another",
        all_at_one_exchange,
        live=False,
        limit=900,
    )
]
