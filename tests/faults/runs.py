"""What begins anew each time, with the next seed."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.faults.account import Account
from tests.faults.fault import Outcome
from tests.faults.place import Place

Once = Callable[[Path, int, random.Random], tuple[int, Account]]
"""Plays it in an empty folder, with a seed and what chance makes of it; gives how many processes
were killed, and what was found.
"""


def again_and_again(place: Place, once: Once) -> Outcome:
    """As often as asked."""
    total, outcome, kills = Account(), Outcome(), 0
    last = place.seed + place.runs - 1
    for seed in range(place.seed, last + 1):
        folder = place.folder / f"run-{seed}"
        folder.mkdir()
        killed, found = once(folder, seed, random.Random(seed))
        kills += killed
        found.wrong = [f"seed {seed}: {why}" for why in found.wrong]
        total.add(found)
        print(f"seed {seed}: {found.trades:,} trades, {len(found.wrong)} wrong", flush=True)
        shutil.rmtree(folder)
    outcome.account = total
    outcome.seen = f"{place.runs:,} runs, seeds {place.seed} to {last}: {kills:,} kills"
    return outcome
