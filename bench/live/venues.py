"""Cost and delay of one process that follows every exchange at once.

The simulator plays all of them. Delays are of trades that have numbers; those of other exchanges
take the same way.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.live import polls
from bench.live.processes import Meter, Result, Stage
from candlewax.core import instruments
from candlewax.simulator.exchanges.registry import PATHS, markets_of

RATES: Final = (1_000,)
"""Trades per second of all exchanges together."""

_WARM: Final = 10.0
"""Seconds of trades at the start that are not counted."""

_LAST: Final = 5.0
"""Seconds to wait for the last trades."""


def run(seconds: float, rates: Sequence[int] = RATES) -> Iterator[Result]:
    """Measure at each rate."""
    for rate in rates:
        yield _measure(rate, seconds)


def _measure(rate: int, seconds: float) -> Result:
    exchanges = tuple(PATHS)
    with Stage() as stage:
        journal, listed = stage.folder / "journal.tsv", stage.folder / "instruments.toml"
        listed.write_text(_instruments(exchanges))
        played = f"--exchanges={','.join(exchanges)}"
        simulator, urls = stage.simulator(f"--rate={rate}", played, f"--journal={journal}")
        urls["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        urls["CANDLEWAX_INSTRUMENTS"] = str(listed)
        # Stored at once: what is stored once a second tells nothing of the pipeline.
        urls["CANDLEWAX_LINGER_SECONDS"] = "0.02"
        stamps = stage.folder / "stamps.json"
        module = ("-m", "bench.live.stamped", str(stamps), "dataflows.ohlcv")
        piece = stage.python("ohlcv", *module, **urls)
        for exchange in exchanges:
            piece.wait_for_output(f"{exchange}-0: subscribed")
        time.sleep(_WARM)
        meter, began_ns = Meter(stage.running), time.time_ns()
        time.sleep(seconds)
        used = meter.read()
        rss_mb = piece.rss_mb()
        time.sleep(_LAST)
        stage.end(piece)
        simulator.stop()
        latencies_ms, never = _latencies(journal, listed, stamps, began_ns, seconds)
    return {
        "part": "venues",
        "what": f"{len(exchanges)} exchanges",
        "rate": rate,
        "trades": len(latencies_ms),
        "never": never,
        **polls.summary(latencies_ms),
        "rss_mb": rss_mb,
        **used,
    }


def _instruments(exchanges: Sequence[str]) -> str:
    """Return an instruments file with all markets that the simulator plays."""
    lines = []
    for exchange in exchanges:
        lines.append(f"[{exchange}.subscribe]")
        lines += [f'"{one.native_symbol}" = "{one.symbol}"' for one in markets_of(exchange)]
    return "\n".join(lines)


def _latencies(
    journal: Path, listed: Path, stamps: Path, began_ns: int, seconds: float
) -> tuple[list[float], int]:
    """Return the delays of numbered trades, and how many of them were never readable."""
    known = polls.Stamps.read(stamps)
    numbered = {candle[:2] for candle, found in known.stored.items() if found[-1][1] > 0}
    end_ns = began_ns + int(seconds * 1e9)
    trades = [
        trade
        for trade in polls.journal(journal, instruments.load(listed), tuple(PATHS))
        if trade.candle[:2] in numbered and began_ns <= trade.sent_ns < end_ns
    ]
    return polls.latencies(trades, known)
