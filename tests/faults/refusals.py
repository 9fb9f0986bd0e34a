"""Markets that exchanges refuse for a while."""

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from candlewax.simulator.server import Simulator
from tests.faults.alone import Alone, alone
from tests.faults.fault import Fault, Outcome
from tests.faults.place import Place
from tests.faults.published import compare
from tests.support.oracle import LENGTHS

Markets = tuple[tuple[str, str, str], ...]

REFUSED: Markets = (("kraken", "ETH/USD", "ETH/USD"), ("coinbase", "ETH-USD", "ETH/USD"))
"""Exchange, native and unified symbol. Binance takes every name, and is silent."""

HASTE = json.dumps({"refused_s": 0.2, "first_backoff_s": 0.1, "max_backoff_s": 1.0, "tick_s": 0.1})
"""How connections are kept where nobody waits long."""

BEHIND = -60
"""Seconds by which clocks are ahead at the beginning."""

_MINUTE = 60
_AHEAD = 58
"""Seconds that a clock may be ahead; trades of more than a minute are none."""

_OUTAGES = """
SELECT exchange, symbol, toUnixTimestamp64Micro(o.began) AS began,
    toUnixTimestamp64Micro(max(o.ended)) AS ended
FROM market_outages AS o GROUP BY exchange, symbol, o.began ORDER BY exchange, symbol, began
"""

_EVENTS = """
SELECT exchange, connection, frame, toUnixTimestamp64Micro(received_at) AS at
FROM bronze_frames FINAL WHERE startsWith(frame, '{"candlewax":')
ORDER BY received_at, received_ns, source_offset
"""

_STATUSES = """
SELECT toString(timeframe), toUnixTimestamp(window_start), toString(status)
FROM ohlcv FINAL
WHERE exchange = {exchange:String} AND symbol = {symbol:String} AND closed
"""

_HEARD = """
SELECT count() FROM silver_trades FINAL
WHERE exchange = {exchange:String} AND symbol = {symbol:String} AND via = 'websocket'
    AND toUnixTimestamp64Micro(received_at) > {began:Int64}
    AND toUnixTimestamp64Micro(received_at) < {ended:Int64}
"""


class Outage(NamedTuple):
    """A row of `market_outages`; times in microseconds since 1970, 0 for none yet."""

    exchange: str
    symbol: str
    began: int
    ended: int


def refused_market(place: Place) -> Outcome:
    """Two exchanges that were asked again, as their connections were cut, refuse a market each. The
    process is killed meanwhile; the second time they take the market again while it is away.
    """
    outcome = Outcome()
    accepted: list[int] = []
    with alone(place, "refused", BEHIND, **haste(place)) as stage:
        for number in range(min(place.size.times, 2)):
            refuse(stage)
            outcome.wrong += look(stage)
            before = outages(stage)
            stage.kill()
            if number % 2:
                accepted.append(accept(stage))
            stage.start()
            if not number % 2:
                outcome.wrong += _still(stage, before)
                accepted.append(accept(stage))
            stage.until_subscribed()
            stage.settle()
        stage.finish()
        outcome.wrong += stage.end()
        outcome.wrong += _check_outages(stage, accepted)
        outcome.account = compare(stage.tables, stage.simulator.journal)
        lengths = [(one.ended - one.began) / 1e6 for one in outages(stage)]
        outcome.seen = f"{len(lengths)} outages of a market, the longest of {max(lengths):,.1f} s"
    return outcome


def haste(place: Place) -> dict[str, str]:
    """Settings of a process that does not wait long for what is refused."""
    return {} if place.size.thorough else {"CANDLEWAX_TEST_CONNECTIONS": HASTE}


def refuse(stage: Alone, markets: Markets = REFUSED) -> None:
    """Let markets be refused; returns when a candle of each is closed that they would be in. If
    clocks were BEHIND, their feed did not begin in it, so that nothing else makes it partial.
    """
    for exchange, *_ in markets:
        stage.step_clock(exchange, 0)
    stage.flow()
    known = len(outages(stage))
    for exchange, native, _ in markets:
        stage.at(partial(Simulator.refuse, native_symbol=native))
        stage.at(partial(Simulator.drop, exchange=exchange))
    stage.until(lambda: len(outages(stage)) == known + len(markets))
    stage.until_subscribed()
    if not stage.place.size.thorough:
        # It need not be waited for, then.
        ahead = min(_MINUTE - time.time() % _MINUTE + 2, _AHEAD)
        for exchange, *_ in markets:
            stage.step_clock(exchange, ahead)
    stage.until(lambda: all(_reaching(stage, one) for one in outages(stage) if not one.ended))
    stage.spend(2 * stage.place.size.absence)


def accept(stage: Alone, markets: Markets = REFUSED) -> int:
    """Let the markets be known again; when that was, in microseconds since 1970."""
    now = time.time_ns() // 1000
    for _, native, _ in markets:
        stage.at(partial(Simulator.refuse, native_symbol=native, is_known=True))
    return now


def outages(stage: Alone) -> list[Outage]:
    """What the table says."""
    return [Outage(*row) for row in stage.tables.query(_OUTAGES).rows()]


def look(stage: Alone) -> Iterator[str]:
    """What is wrong with the candles of markets that are refused now."""
    for outage in outages(stage):
        if not outage.ended:
            for window, status in _reaching(stage, outage).items():
                if status != "partial":
                    yield f"{window} of {outage} is {status} while it is refused"


def _reaching(stage: Alone, outage: Outage) -> dict[tuple[str, int], str]:
    """The status of each closed candle of a market that an outage reaches."""
    market = {"exchange": outage.exchange, "symbol": outage.symbol}
    return {
        (timeframe, start): status
        for timeframe, start, status in stage.tables.query(_STATUSES, market).rows()
        if (start + LENGTHS[timeframe]) * 1_000_000 > outage.began
    }


def _still(stage: Alone, before: list[Outage]) -> Iterator[str]:
    """What is wrong if another process does not go on with the same outages."""
    stage.come()
    if (now := outages(stage)) != before:
        yield f"outages were {before}, and are {now} in another process"
    yield from look(stage)


def _check_outages(stage: Alone, accepted: list[int]) -> Iterator[str]:
    """They are exactly what the feed's own events say, one of each market for each time that the
    exchanges took them again; until then nothing of them came.
    """
    found, told = outages(stage), told_outages(stage)
    if found != told:
        yield f"outages are {found}, not {told}"
    if len(found) != len(accepted) * len(REFUSED):
        yield f"{len(found)} outages, not {len(accepted) * len(REFUSED)}"
    for outage in found:
        if not any(outage.began < at <= outage.ended for at in accepted):
            yield f"nobody took the market again in {outage}"
        until = min((at for at in accepted if at > outage.began), default=outage.ended)
        heard = {**outage._asdict(), "ended": until}
        if count := stage.tables.query(_HEARD, heard).item():
            yield f"{count} trades came in {outage}"


def told_outages(stage: Alone) -> list[Outage]:
    """What the events among the frames say: since when a connection that has refused a market was
    not there or not subscribed, and when one subscribed it first.
    """
    since: dict[tuple[str, str], int] = {}
    began: dict[tuple[str, str], int] = {}
    found = []
    for exchange, connection, frame, at in stage.tables.query(_EVENTS).rows():
        event = json.loads(frame)
        kind, natives = event["candlewax"], event.get("instruments", [])
        if kind == "disconnected":
            since[exchange, connection] = at
        elif kind == "connected":
            since.setdefault((exchange, connection), at)
        elif kind == "refused":
            for native in natives:
                began.setdefault((exchange, native), since.get((exchange, connection), at))
        elif kind == "subscribed":
            ended = [native for native in natives if (exchange, native) in began]
            found += [(exchange, native, began.pop((exchange, native)), at) for native in ended]
    found += [(*market, at, 0) for market, at in began.items()]
    symbols = {(exchange, native): symbol for exchange, native, symbol in REFUSED}
    return sorted(Outage(name, symbols[name, native], *times) for name, native, *times in found)


FAULTS = [
    Fault(
        "refused-market",
        "two exchanges refuse a market each for twice {absence:g} s and more, after a cut of their "
        "connections; the one process for all killed meanwhile, the second time until they take it",
        refused_market,
        live=False,
        limit=900,
    )
]
