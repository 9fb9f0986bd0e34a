"""What became of every trade: the raw topics and the exchanges' own journal, read the plain
way, against the tables.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from candlewax.clickhouse.client import Database
from candlewax.simulator.exchanges.published import Published
from candlewax.verification.verify import check_totals, report, verify
from tests.support import oracle
from tests.support import stored as tables_of
from tests.support.kafka import truth
from tests.support.oracle import Fill, Window

Market = tuple[str, str]
"""Exchange and unified symbol."""

_FAR = 10**15
"""Microseconds: longer than anything lasts."""

_SHOWN = 3
"""How many differences of a kind are shown."""


@dataclass
class Account:
    """What was found. `trades` are different ones that reached the raw topics; `lost` of
    them are in no table, `doubled` rows are one too many, `candles` and `certificates`
    are wrong. Of what the exchanges published `unheard` never reached the raw topics,
    and of these `unnamed` stand in no row of `gaps`.
    """

    frames: int = 0
    trades: int = 0
    lost: int = 0
    doubled: int = 0
    candles: int = 0
    certificates: int = 0
    unheard: dict[str, int] = field(default_factory=dict)
    unnamed: int = 0
    wrong: list[str] = field(default_factory=list)
    """What is not as it must be, in words."""

    def note(self, what: str, found: Iterable[object]) -> int:
        """How much is wrong; some of it is shown."""
        all_of_it = list(found)
        if all_of_it:
            some = "; ".join(str(one) for one in all_of_it[:_SHOWN])
            self.wrong.append(f"{len(all_of_it):,} {what}: {some}")
        return len(all_of_it)

    def add(self, other: "Account") -> None:
        """Count what another one counts, too."""
        for name in ("frames", "trades", "lost", "doubled", "candles", "certificates", "unnamed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unheard = dict(Counter(self.unheard) + Counter(other.unheard))
        self.wrong += other.wrong


def account(
    tables: Database,
    fills: Sequence[Fill],
    journal: Sequence[Published] = (),
    *,
    live: bool = True,
    steady_clock: bool = True,
) -> Account:
    """Compare the tables with what reached the raw topics. Where frames are `live` the wall
    clock may have closed more candles than the stream's own time.
    """
    found = Account()
    found.frames = _count(tables, "SELECT count() FROM bronze_frames FINAL")
    distinct = oracle.distinct(fills)
    found.trades = len(distinct)
    _silver(found, tables, fills)
    stored = tables_of.gold(tables)
    _gold(found, stored, fills, live=live)
    outages = _outages_of(tables, steady=steady_clock)
    _certificates(found, tables, stored, fills, outages, live=live)
    _gaps(found, tables, distinct, journal)
    if steady_clock:
        _outages(found, tables)
    found.wrong += check_totals(tables.client)
    checked = verify(tables.client)
    if not checked.equal:
        found.wrong.append(report(checked))
    return found


def _count(tables: Database, sql: str) -> int:
    return int(tables.query(sql).item())


def _silver(found: Account, tables: Database, fills: Sequence[Fill]) -> None:
    stored, expected = tables_of.silver(tables), tables_of.expected_silver(fills)
    found.lost = found.note("trades lost", expected.keys() - stored.keys())
    found.note("trades nobody sent", stored.keys() - expected.keys())
    both = stored.keys() & expected.keys()
    found.note("trades stored wrong", [i for i in both if stored[i] != expected[i]])
    twice = """
    SELECT exchange, symbol, trade_id, count() AS rows FROM silver_trades FINAL
    GROUP BY ALL HAVING rows > 1
    """
    found.doubled = found.note("trades stored twice", tables.query(twice).rows())


def _gold(
    found: Account, stored: Mapping[Window, dict[str, Any]], fills: Sequence[Fill], *, live: bool
) -> None:
    expected = tables_of.expected_gold(fills)
    wrong = [f"no {window}" for window in expected.keys() - stored.keys()]
    wrong += [f"{window} of no trade" for window in stored.keys() - expected.keys()]
    for window in stored.keys() & expected.keys():
        told, candle = expected[window], stored[window]
        if live and candle["closed"] and not told["closed"]:
            told = {**told, "closed": True, "version": told["version"] + 1}
        odd = {name: (candle[name], told[name]) for name in told if candle[name] != told[name]}
        if odd:
            wrong.append(f"{window}, stored and expected: {odd}")
        found.doubled += max(0, candle["trade_count"] - told["trade_count"])
    found.candles = found.note("candles wrong", wrong)


def _certificates(
    found: Account,
    tables: Database,
    stored: Mapping[Window, dict[str, Any]],
    fills: Sequence[Fill],
    outages: tuple[oracle.Outages, oracle.Outages],
    *,
    live: bool,
) -> None:
    said, (least, most) = tables_of.certificates(tables), outages
    wrong = []
    for exchange in {fill.exchange for fill in fills}:
        own = [fill for fill in fills if fill.exchange == exchange]
        forming = oracle.certificates(own, least)
        longest = oracle.certificates(own, most)
        # By a clock that is ahead of everything.
        closed = oracle.certificates(own, least, grace=-_FAR)
        latest: dict[str, int] = {}
        for fill in own:
            latest[fill.symbol] = max(fill.time, latest.get(fill.symbol, 0))
        for window in forming.keys() & stored.keys():
            told = dict(forming[window])
            if live and stored[window]["closed"]:
                told["status"] = closed[window]["status"]
                # What the clock has closed, a trade in time changes late.
                told["revision"] = max(told["revision"], said[window]["revision"])
            # The clock closed it while nothing was connected: so it stays until the next
            # trade of its market.
            last = (window[3] + oracle.LENGTHS[window[0]]) * 1_000_000 > latest[window[2]]
            if live and last and said[window]["status"] == "partial" != told["status"]:
                told["status"] = "partial" if told["status"] == "complete" else told["status"]
            down = said[window]["feed_down_ms"]
            if told["feed_down_ms"] <= down <= longest[window]["feed_down_ms"]:
                told["feed_down_ms"] = down
            if said[window] != told:
                wrong.append(f"{window}: stored {said[window]}, expected {told}")
    found.certificates = found.note("certificates wrong", wrong)


def _outages_of(tables: Database, *, steady: bool) -> tuple[oracle.Outages, oracle.Outages]:
    """Which outages the certificates must tell of, and of which they may: those that a trade
    came after. Where the clock is not `steady`, the exchange's own time says what came
    after them, and of the others nothing is certain.
    """
    latest = "received_at" if steady else "least(timestamp, received_at)"
    rows = tables.query(
        f"""
        SELECT exchange, toUnixTimestamp64Micro(out.began), toUnixTimestamp64Micro(out.ended),
            out.ended <= heard.latest AS told
        FROM outages AS out FINAL
        JOIN (SELECT exchange, max({latest}) AS latest FROM silver_trades GROUP BY exchange)
            AS heard USING exchange
        ORDER BY exchange, out.began
        """
    ).rows()
    told = _apart(row[:3] for row in rows if row[3])
    return told, told if steady else _apart(row[:3] for row in rows)


def _apart(rows: Iterable[tuple[str, int, int]]) -> oracle.Outages:
    """By exchange, none of them twice."""
    apart: oracle.Outages = {}
    for exchange, began, ended in rows:
        before = apart.setdefault(exchange, [])
        since = max(began, before[-1][1]) if before else began
        if ended > since:
            before.append((since, ended))
    return apart


def _gaps(
    found: Account, tables: Database, distinct: Sequence[Fill], journal: Sequence[Published]
) -> None:
    seen: dict[Market, set[int]] = {}
    for fill in distinct:
        if fill.sequence:
            seen.setdefault((fill.exchange, fill.symbol), set()).add(fill.sequence)
    named: dict[Market, set[int]] = {}
    rows = tables.query(
        """
        SELECT exchange, symbol, first_sequence, last_sequence, min(missing) AS missing
        FROM gaps GROUP BY exchange, symbol, first_sequence, last_sequence
        """
    ).rows()
    for exchange, symbol, first, last, missing in rows:
        numbers = set(range(first, last + 1)) - seen[exchange, symbol]
        if len(numbers) != missing:
            found.wrong.append(f"gap {(exchange, symbol, first, last)} says {missing} are missing")
        named.setdefault((exchange, symbol), set()).update(numbers)
    unheard = {
        market: set(range(min(numbers), max(numbers) + 1)) - numbers
        for market, numbers in seen.items()
    }
    unnamed = [
        (market, number)
        for market, numbers in unheard.items()
        for number in numbers - named.get(market, set())
    ]
    found.unnamed = found.note("missing trades that no gap names", unnamed)
    found.unheard = dict(Counter({m[0]: 0 for m in seen}))
    for market, numbers in unheard.items():
        found.unheard[market[0]] += len(numbers)
    if journal:
        published = _published(journal)
        invented = [m for m, numbers in unheard.items() if numbers - published.get(m, set())]
        found.note("markets miss what nobody published", invented)


def _published(journal: Sequence[Published]) -> dict[Market, set[int]]:
    """The numbers that each market gave out."""
    numbers: dict[Market, set[int]] = {}
    for one in journal:
        market, number = one.trade.market, one.trade.trade_id
        symbol = truth.SYMBOLS.get(market.exchange, {}).get(market.native_symbol)
        if symbol:
            numbers.setdefault((market.exchange, symbol), set()).add(number)
    return numbers


def _outages(found: Account, tables: Database) -> None:
    """While nothing was connected no frame came.

    If a second process connects, an outage ends with its event, before the frames that the first
    one received and sends after it: those of one topic count only if they precede the event.
    """
    came = """
    SELECT frames.exchange, outages.began, outages.ended, count() AS frames
    FROM bronze_frames AS frames FINAL
    JOIN outages FINAL ON frames.exchange = outages.exchange
    LEFT JOIN (
        SELECT exchange, received_at, source, max(source_offset) AS place
        FROM bronze_frames FINAL WHERE startsWith(frame, '{"candlewax":"connected"')
        GROUP BY ALL
    ) AS events ON events.exchange = outages.exchange AND events.received_at = outages.ended
    WHERE frames.received_at > outages.began AND frames.received_at < outages.ended
        AND position(frames.frame, '{"candlewax":') = 0
        AND (frames.source != events.source OR frames.source_offset < events.place)
    GROUP BY ALL
    """
    found.note("outages in which frames came", tables.query(came).rows())
