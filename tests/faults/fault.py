"""What a fault is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.account import Account


@dataclass(frozen=True)
class Size:
    """How large it all is: trades a second of all exchanges together, seconds something is
    away, seconds of calm before and after, and how often what is done again and again is.
    Where it is not `thorough`, variants of the same are left out. `settings` are those of all
    processes.
    """

    rate: int
    absence: float
    calm: float
    times: int
    thorough: bool
    settings: dict[str, str] = field(default_factory=dict)


SHORT = Size(
    rate=90,
    absence=0.3,
    calm=0,
    times=1,
    thorough=False,
    # Less work for the same faults.
    settings={"CANDLEWAX_LINGER_SECONDS": "0.5"},
)
FULL = Size(rate=500, absence=60, calm=4, times=4, thorough=True)


@dataclass
class Outcome:
    """What was seen: what is in the tables at the end, how long it took until all went on
    as before, and what else is worth telling.
    """

    account: Account = field(default_factory=Account)
    recovery: float | None = None
    ended: int = 0
    """How many processes ended by themselves."""
    seen: str = ""
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Fault:
    """`play` makes the fault, undoes it and gives what it has seen, on a stage with live
    feeds or, where it needs none of that, on a place (`live` is False), `anew` as often as is
    asked for.

    `limit` is how many seconds it may take in full. `altered` tells that it takes processes
    whose clock and memory can be changed, `steady` that the clock goes on as it should, `ends`
    that processes may end by themselves, `needs` whether it can be made here at all.
    `shortened` is what does the same in little time, if that is another fault or a test
    elsewhere: a module of tests and the name of the test.
    """

    name: str
    injected: str
    play: Callable[[Any], Any]
    live: bool = True
    anew: bool = False
    limit: float = 300
    altered: bool = False
    steady: bool = True
    ends: bool = False
    needs: Callable[[], bool] = lambda: True
    shortened: str = ""
