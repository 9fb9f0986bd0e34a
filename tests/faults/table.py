"""The table of faults: what was done, and what was found."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from tests.faults.fault import Fault, Outcome, Size

_NONE: Final = "-"

_PLAYED: Final = "Played on"

PAGE: Final = Path(__file__).parents[2] / "docs" / "faults.md"

BEGIN: Final = "<!-- made by make faults -->"
END: Final = "<!-- end of what make faults made -->"

_HEAD: Final = (
    "fault", "injected", "frames", "trades", "lost", "doubled", "wrong candles",
    "wrong certificates", "not received (named)", "recovered after", "seen",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What a fault came to. `why` is empty if all was as it must be."""

    name: str
    size: dict[str, float]
    cores: int
    seconds: float
    why: list[str] = field(default_factory=list)
    outcome: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, fault: Fault, size: Size, seconds: float, outcome: Outcome) -> Self:
        """The result of a fault that was played to its end."""
        found = outcome.account
        why = [*outcome.wrong, *found.wrong]
        if outcome.ended and not fault.ends:
            why.append(f"{outcome.ended} processes ended by themselves")
        return cls(fault.name, asdict(size), cores(), seconds, why, asdict(outcome))

    def write(self, folder: Path) -> None:
        """Keep it."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def kept(folder: Path) -> dict[str, Result]:
    """The results that were kept, by the names of their faults."""
    files = sorted(folder.glob("*.json"))
    return {file.stem: Result(**json.loads(file.read_text("utf-8"))) for file in files}


def text(faults: Iterable[Fault], results: Mapping[str, Result], page: str = "") -> str:
    """The table, and what it was made with. A fault without a result keeps the row it has
    in the table of a page.
    """
    head = " | ".join(("", *_HEAD, "")).strip()
    faults = list(faults)
    before = _table(page) if head in page else []
    rows = {line.split("`")[1]: line for line in before if line.startswith("| `")}
    rows |= dict.fromkeys(results, "")
    made_with = [line for line in before if line.startswith(_PLAYED)]
    # What is played from a recording has no rate.
    made_with += _made_with([results[f.name] for f in faults if f.live and f.name in results])
    lines = [head, "|".join(("", *["---"] * len(_HEAD), ""))]
    for fault in faults:
        row = " | ".join(("", *_cells(fault, results.get(fault.name)), "")).strip()
        lines.append(rows.get(fault.name) or row)
    return "\n".join([*dict.fromkeys(made_with), "", *lines])


def _table(page: str) -> list[str]:
    """The lines that were made before."""
    return page.partition(BEGIN)[2].partition(END)[0].splitlines()


def _made_with(results: list[Result]) -> list[str]:
    ways = {(r.cores, r.size["rate"], r.size["absence"]) for r in results}
    return [
        f"{_PLAYED} {cores} cores, on which the exchanges, the broker and the database ran, too: "
        f"{rate:,.0f} trades a second from three simulated exchanges; what was away was so for "
        f"{absence:g} seconds."
        for cores, rate, absence in sorted(ways)
    ]


def _cells(fault: Fault, result: Result | None) -> list[str]:
    cells = [f"`{fault.name}`"]
    absence = result.size["absence"] if result else 60
    cells.append(fault.injected.format(absence=absence))
    if result is None:
        return [*cells, *[_NONE] * 8, "not played"]
    if not result.outcome:
        return [*cells, *[_NONE] * 8, _failed(result)]
    found, recovery = result.outcome["account"], result.outcome["recovery"]
    numbers = ("frames", "trades", "lost", "doubled", "candles", "certificates")
    cells += [f"{found[name]:,}" for name in numbers]
    unheard = sum(found["unheard"].values())
    cells.append(f"{unheard:,} ({unheard - found['unnamed']:,})")
    cells.append(_NONE if recovery is None else f"{recovery:,.1f} s")
    cells.append(_failed(result) if result.why else result.outcome["seen"])
    return cells


def _failed(result: Result) -> str:
    why = "; ".join(result.why).replace("|", "/").replace("\n", " ")
    return f"**FAILED**: {why[:300]}"


def put(page: str, table: str) -> str:
    """The page with another table in it."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"
