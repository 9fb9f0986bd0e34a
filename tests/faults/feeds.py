"""What exchanges do."""

from tests.faults.fault import Fault, Outcome
from tests.faults.stage import Stage


def stalls(stage: Stage) -> Outcome:
    """No trades, while heartbeats go on: in full long enough for connections to be left."""
    seconds = max(stage.size.absence * 1.25, 1)
    stage.at_exchanges(lambda simulator: simulator.stall(None, seconds))
    stage.spend(seconds)
    return Outcome(recovery=stage.recover())


def freezes(stage: Stage) -> Outcome:
    """Nothing at all is said, and nothing heard."""
    seconds = max(stage.size.absence / 2, 1)
    stage.at_exchanges(lambda simulator: simulator.stall(None, seconds, is_complete=True))
    stage.spend(seconds)
    return Outcome(recovery=stage.recover())


def storm(stage: Stage) -> Outcome:
    """Connections are cut as soon as they are there, or closed with a code, in turn."""
    cuts = 4 * stage.size.times
    for number in range(cuts):
        stage.until(lambda: len(stage.simulator.connections()) > 0)
        if number % 2:
            stage.at_exchanges(lambda simulator: simulator.close_with(None, 1012, "restart"))
        else:
            stage.at_exchanges(lambda simulator: simulator.drop())
    return Outcome(recovery=stage.recover(), seen=f"{cuts} times")


FAULTS = [
    Fault("feed-stalls", "no trades for a while, though heartbeats go on", stalls),
    Fault("feed-freezes", "exchanges that say and hear nothing for a while", freezes),
    Fault(
        "reconnect-storm",
        "all connections cut without a word or closed with 1012, again and again as they come",
        storm,
        limit=420,
    ),
]
