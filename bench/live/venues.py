"""Cost of one process that follows every exchange at once, and the delay of one market's stream."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

from bench.live import polls
from bench.live.processes import COMMAND, Meter, Result, Stage
from bench.live.staleness import WATCHED, StreamReader
from candlewax.core import instruments
from candlewax.simulator.exchanges.registry import PATHS, markets_of
from tests.support.ports import free_port

RATES: Final = (1_000,)
"""Trades per second of all exchanges together."""

_WARM: Final = 10.0
"""Seconds of trades at the start that are not counted."""

_LAST: Final = 2.0
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
        port = free_port()
        up = stage.python("up", "-c", COMMAND, "up", f"--port={port}", **urls)
        for exchange in exchanges:
            up.wait_for_output(f"{exchange}-0: subscribed")
        time.sleep(_WARM)
        reader = StreamReader(port)
        meter, began_ns = Meter(stage.running), time.time_ns()
        time.sleep(seconds)
        used, ended_ns = meter.read(), time.time_ns()
        rss_mb = up.rss_mb()
        time.sleep(_LAST)
        stamps = reader.end()
        stage.end(up)
        simulator.stop()
        trades = [
            trade
            for trade in polls.journal(journal, instruments.load(listed), (WATCHED[0],))
            if trade.candle[:2] == WATCHED and began_ns <= trade.sent_ns < ended_ns
        ]
        latencies_ms, never = polls.latencies(trades, stamps)
    return {
        "part": "venues",
        "what": f"{len(exchanges)} exchanges",
        "rate": rate,
        "trades": len(trades),
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
