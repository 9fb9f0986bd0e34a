"""Processes that are killed."""

import random
import signal
from collections.abc import Callable

from tests.faults.account import Account
from tests.faults.fault import Fault, Outcome
from tests.faults.place import Place
from tests.faults.stage import FLOWS, Stage, staged


def killed(name: str) -> Callable[[Stage], Outcome]:
    """Kill a dataflow again and again."""

    def play(stage: Stage) -> Outcome:
        longest = 0.0
        for _ in range(stage.size.times):
            stage.kill(name)
            longest = max(longest, stage.recover())
            stage.calm()
        return Outcome(recovery=longest)

    return play


def kill_tables(stage: Stage) -> Outcome:
    """One process in the place of two, killed, and the two again."""
    stage.stop("silver", "ohlcv")
    stage.start("tables")
    stage.recover()
    stage.kill("tables")
    recovery = stage.recover()
    stage.calm()
    stage.stop("tables")
    for flow in ("silver", "ohlcv"):
        # A memory from before another took its place is not to be used again.
        stage.forget(flow)
        stage.start(flow)
    stage.recover()
    return Outcome(recovery=recovery)


def frozen(stage: Stage) -> Outcome:
    """Stop the clocks of all three, one after another, and let them go on."""
    longest = 0.0
    for flow in FLOWS:
        process = stage.running[flow]
        process.tell(signal.SIGSTOP)
        stage.spend(min(stage.size.absence, 15))
        process.tell(signal.SIGCONT)
        longest = max(longest, stage.recover())
    return Outcome(recovery=longest)


def at_random(place: Place) -> Outcome:
    """As often as asked: a database anew, and kills at random moments of it."""
    total, outcome = Account(), Outcome()
    outcome.recovery = 0.0
    done = 0
    last = place.seed + place.runs - 1
    for seed in range(place.seed, last + 1):
        chance = random.Random(seed)
        with staged(place, f"random_{seed}") as stage:
            for _ in range(3):
                stage.spend(chance.uniform(0, 1.5))
                name = chance.choice(FLOWS)
                if chance.random() < 0.25:
                    stage.lose(name)
                    stage.start(name)
                else:
                    stage.kill(name)
                done += 1
            outcome.recovery = max(outcome.recovery, stage.recover())
            found = stage.settle()
            outcome.ended += len(stage.ended)
            outcome.wrong += [f"seed {seed}: {why}" for why in found.wrong + stage.ended]
        total.add(found)
    outcome.account = total
    outcome.seen = f"{place.runs:,} runs, seeds {place.seed} to {last}: {done:,} kills"
    return outcome


SHORTENED = {"silver": "store-older", "ohlcv": "store-older"}
"""Faults that kill these, too: they begin again with less memory than they had."""

FAULTS = [
    *(
        Fault(
            f"kill-{name}",
            f"`{name}` killed (SIGKILL), again and again",
            killed(name),
            shortened=SHORTENED.get(name, ""),
        )
        for name in FLOWS
    ),
    Fault(
        "kill-tables",
        "`tables` in the place of `silver` and `ohlcv`, killed; then the two again",
        kill_tables,
        shortened="tests.kafka.test_pipeline.test_process_of_all_tables_resumes_after_kills",
    ),
    Fault("freeze-processes", "each process stopped for a while (SIGSTOP) and let go", frozen),
    Fault(
        "kills-at-random",
        "processes killed at random moments, a quarter of them with their recovery stores lost; "
        "each run with new tables",
        at_random,
        live=False,
        anew=True,
        shortened="store-lost",
    ),
]
