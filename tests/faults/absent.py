"""What exchanges published, with numbers and without, against the tables: each trade is stored
once, or there is a reason that it is not.

A trade that is not stored was skipped by the simulator, which its journal tells, or was sent before
the first stored subscription of its exchange (a process that is killed before it stores anything
leaves nothing that could be wrong), or lies in an outage: those of its market sent before it were
received before the outage, those sent after it were received after the outage. The times at which
trades were sent are not compared with outages, as trades that were on their way are lost with a
connection.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate
from typing import NamedTuple

from candlewax.clickhouse.client import Database
from candlewax.simulator.exchanges.published import Published
from candlewax.simulator.frames.trades import price, quantity
from candlewax.simulator.server import Simulator
from candlewax.verification.verify import check_totals, report, verify
from tests.faults.account import Account
from tests.support import oracle
from tests.support.oracle import Fill
from tests.support.stored import FIELDS, certificates, gold

NUMBERED = frozenset(
    ("binance", "binance_usdm", "binance_coinm", "binance_us", "kraken", "coinbase",
     "kraken_futures", "okx")
)  # fmt: skip
"""Exchanges that count the trades of a market."""

Market = tuple[str, str]
"""Exchange and unified symbol."""

_FAR_US = 10**18

_ROWS = """
SELECT exchange, symbol, trade_id, sequence, toUnixTimestamp64Micro(timestamp), side = 'BUY',
    price, quantity, conditions, source_offset, source_index, toUnixTimestamp64Micro(received_at)
FROM silver_trades FINAL
"""

_OUTAGES = """
SELECT exchange, toUnixTimestamp64Micro(began), toUnixTimestamp64Micro(ended) FROM outages FINAL
"""

_FIRST_SUBSCRIBED = """
SELECT exchange, min(toUnixTimestamp64Micro(received_at)) FROM bronze_frames
WHERE kind = 'control' AND JSONExtractString(frame, 'candlewax') = 'subscribed' GROUP BY exchange
"""

_GAPS = """
SELECT exchange, symbol, first_sequence, last_sequence, min(missing) AS missing
FROM gaps GROUP BY exchange, symbol, first_sequence, last_sequence
"""

_FRAMES = "SELECT count(), countIf(kind = 'dead'), sum(duplicates) FROM bronze_frames FINAL"


class Sent(NamedTuple):
    """A published trade: its id at the exchange, its number, and the number of its frame among
    those of its market. Times are told in milliseconds by most exchanges. `sent_us`: by our clock.
    """

    trade_id: str
    number: int
    frame: int
    skipped: bool
    content: tuple[int, bool, Decimal, Decimal]
    sent_us: int


@dataclass
class Absent:
    """The account, and how many trades without numbers are not stored for which reason. `early`:
    those of all exchanges that were sent before the first stored subscription.
    """

    account: Account = field(default_factory=Account)
    skipped: int = 0
    in_outages: int = 0
    early: int = 0


class Stored:
    """The stored trades by market, and when each was received, in microseconds since 1970."""

    def __init__(self, tables: Database) -> None:
        self.fills: dict[Market, dict[str, Fill]] = {}
        self.received: dict[Market, dict[str, int]] = {}
        self.twice: list[Fill] = []
        for *names, conditions, offset, index, received in tables.query(_ROWS).rows():
            exchange, symbol, trade_id, number, time, bought, cost, amount = names
            fill = Fill(
                exchange, symbol, trade_id, number, time, bool(bought), cost, amount,
                tuple(conditions), offset, index,
            )  # fmt: skip
            own = self.fills.setdefault((exchange, symbol), {})
            self.twice += [fill] if trade_id in own else []
            own[trade_id] = fill
            self.received.setdefault((exchange, symbol), {})[trade_id] = received


def published(simulator: Simulator, journal: Sequence[Published]) -> dict[Market, list[Sent]]:
    """The published trades of each market in their order. Those of a frame have one time."""
    found: dict[Market, list[Sent]] = {}
    times: dict[Market, int] = {}
    for trade, sent_ns, skipped in journal:
        market = trade.market.exchange, trade.market.symbol
        own = found.setdefault(market, [])
        frame = own[-1].frame + (sent_ns != times[market]) if own else 0
        times[market] = sent_ns
        content = (
            trade.time_us // 1000, trade.bought, Decimal(price(trade)), Decimal(quantity(trade)),
        )  # fmt: skip
        trade_id = simulator.venues[market[0]].trade_id(trade)
        own.append(Sent(trade_id, trade.trade_id, frame, skipped, content, sent_ns // 1000))
    return found


def compare(tables: Database, sent: Mapping[Market, Sequence[Sent]]) -> Absent:
    """Account for every published trade, and compare the candles with the stored ones."""
    found, stored = Absent(), Stored(tables)
    account = found.account
    account.frames, dead, duplicates = tables.query(_FRAMES).row(0)
    account.trades = sum(map(len, stored.fills.values()))
    account.doubled = account.note("trades stored twice", stored.twice)
    account.note("stored trades that were not published so", _invented(stored, sent))
    account.note("kinds of faults that did not happen", _quiet(sent, dead, duplicates))
    _absent(found, tables, stored, sent)
    _gaps(account, tables, stored, sent)
    _candles(account, tables, stored, sent)
    account.wrong += check_totals(tables.client)
    checked = verify(tables.client)
    if not checked.equal:
        account.wrong.append(report(checked))
    return found


def _invented(stored: Stored, sent: Mapping[Market, Sequence[Sent]]) -> Iterator[object]:
    for market, fills in stored.fills.items():
        known = {trade.trade_id: trade for trade in sent.get(market, ())}
        for trade_id, fill in fills.items():
            content = fill.time // 1000, fill.bought, fill.price, fill.quantity
            trade = known.get(trade_id)
            number = trade.number if trade and market[0] in NUMBERED else 0
            if trade is None or (trade.content, number) != (content, fill.sequence):
                yield fill, trade


def _quiet(sent: Mapping[Market, Sequence[Sent]], dead: int, duplicates: int) -> Iterator[str]:
    if not any(trade.skipped for trades in sent.values() for trade in trades):
        yield "skipped trades"
    if not dead:
        yield "unreadable frames"
    if not duplicates:
        yield "repeated frames"


def _absent(
    found: Absent, tables: Database, stored: Stored, sent: Mapping[Market, Sequence[Sent]]
) -> None:
    outages: dict[str, list[tuple[int, int]]] = {}
    for exchange, began, ended in tables.query(_OUTAGES).rows():
        outages.setdefault(exchange, []).append((began, ended))
    first_subscribed = dict(tables.query(_FIRST_SUBSCRIBED).rows())
    lost = []
    for market, trades in sent.items():
        received = stored.received.get(market, {})
        bounds = _bounds(trades, received)
        for trade in trades:
            if trade.trade_id in received:
                continue
            if trade.sent_us < first_subscribed.get(market[0], 0):
                found.early += 1
                continue
            before, after = bounds[trade.frame]
            told = any(
                before <= began and ended <= after for began, ended in outages.get(market[0], ())
            )
            if not (trade.skipped or told):
                lost.append((market, trade))
            elif market[0] not in NUMBERED:
                found.skipped += trade.skipped
                found.in_outages += not trade.skipped
    found.account.lost = found.account.note("trades lost while connected", lost)


def _bounds(trades: Sequence[Sent], received: Mapping[str, int]) -> list[tuple[int, int]]:
    """For each frame of a market, when the last trade sent before it was received, and when the
    first one sent after it. The frames beside it do not count: two may be swapped.
    """
    last, first = [0] * (trades[-1].frame + 1), [_FAR_US] * (trades[-1].frame + 1)
    for trade in trades:
        if (time := received.get(trade.trade_id)) is not None:
            last[trade.frame] = max(last[trade.frame], time)
            first[trade.frame] = min(first[trade.frame], time)
    before = [0, 0, *accumulate(last, max)]
    after = [_FAR_US, _FAR_US, *accumulate(reversed(first), min)][len(first) - 1 :: -1]
    return list(zip(before[: len(last)], after, strict=True))


def _gaps(
    account: Account, tables: Database, stored: Stored, sent: Mapping[Market, Sequence[Sent]]
) -> None:
    """Each number that is missing between two stored ones of a market stands in `gaps`, and no
    other one.
    """
    numbers = {
        market: {fill.sequence for fill in fills.values()}
        for market, fills in stored.fills.items()
        if market[0] in NUMBERED
    }
    told: dict[Market, set[int]] = {}
    wrong = []
    for exchange, symbol, first, last, missing in tables.query(_GAPS).rows():
        left = set(range(first, last + 1)) - numbers.get((exchange, symbol), set())
        told.setdefault((exchange, symbol), set()).update(left)
        wrong += [(exchange, symbol, first, last, missing)] if len(left) != missing else []
    for market, seen in numbers.items():
        own = {trade.number for trade in sent.get(market, ())}
        unheard = {number for number in own - seen if min(seen) < number < max(seen)}
        account.unheard[market[0]] = account.unheard.get(market[0], 0) + len(unheard)
        account.unnamed += account.note(
            f"missing trades of {market} that no gap names", unheard - told.get(market, set())
        )
    invented = [
        (market, number)
        for market, missing in told.items()
        for number in missing - {trade.number for trade in sent.get(market, ())}
    ]
    account.note("gaps of what nobody published", invented)
    account.note("gaps that count wrongly", wrong)
    account.note("gaps of exchanges without numbers", told.keys() - numbers.keys())
    account.note("numberings that nobody began", tables.query("SELECT * FROM numberings").rows())


def _candles(
    account: Account, tables: Database, stored: Stored, sent: Mapping[Market, Sequence[Sent]]
) -> None:
    """Candles are those of the stored trades; none is complete that lacks a published trade before
    the last stored one, and none of an exchange without numbers.
    """
    fills = [fill for own in stored.fills.values() for fill in own.values()]
    exchanges = {fill.exchange for fill in fills}
    expected = oracle.candles(fills, dict.fromkeys(exchanges, _FAR_US))
    candles, certified = gold(tables), certificates(tables)
    names = [name for name in FIELDS if name not in ("closed", "version")]
    wrong = [
        window
        for window in expected.keys() | candles.keys()
        if window not in expected
        or window not in candles
        or any(candles[window][name] != expected[window][name] for name in names)
    ]
    account.candles = account.note("candles wrong", wrong)
    lacking = set(_lacking(stored, sent))
    untrue = [
        window
        for window, said in certified.items()
        if said["status"] == "complete" and (window[1] not in NUMBERED or window in lacking)
    ]
    account.certificates = account.note("candles complete that are not", untrue)


def _lacking(stored: Stored, sent: Mapping[Market, Sequence[Sent]]) -> Iterable[oracle.Window]:
    """The windows of trades that are not stored, though later ones of their market are."""
    for market, trades in sent.items():
        known = stored.fills.get(market, {})
        last = max((trade.number for trade in trades if trade.trade_id in known), default=0)
        for trade in trades:
            if trade.number < last and trade.trade_id not in known:
                for timeframe, length in oracle.LENGTHS.items():
                    yield (timeframe, *market, trade.content[0] // 1000 // length * length)
