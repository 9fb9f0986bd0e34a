"""What exchanges published, whose numbers may have begun anew, against the tables."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from candlewax.clickhouse.client import Database
from candlewax.simulator.exchanges.published import Published
from candlewax.simulator.frames.trades import price, quantity
from candlewax.verification.verify import check_totals, report, verify
from tests.faults.account import Account
from tests.support import oracle
from tests.support.kafka.truth import SYMBOLS as _SYMBOLS
from tests.support.oracle import Fill
from tests.support.stored import FIELDS, certificates, gold

SYMBOLS = {name: _SYMBOLS[name] for name in ("binance", "kraken", "coinbase")}

Series = tuple[str, str, int]
"""Exchange, unified symbol, and the run of numbers: 0 for the first one, one more each time."""

_FAR_US = 10**18

_ROWS = """
SELECT exchange, symbol, numbering, sequence, toUnixTimestamp64Micro(timestamp), side = 'BUY',
    price, quantity
FROM silver_trades FINAL
"""

_GAPS = """
SELECT exchange, symbol, numbering, first_sequence, last_sequence, toString(state)
FROM gaps FINAL
"""


class Content(NamedTuple):
    """What a trade says besides its number; the time in microseconds since 1970."""

    time: int
    bought: bool
    price: Decimal
    quantity: Decimal


Trades = dict[Series, dict[int, Content]]


def by_series(journal: Sequence[Published]) -> Trades:
    """The trades of each run of numbers. A number that is no higher than the one before begins
    another run.
    """
    last: dict[tuple[str, str], tuple[int, int]] = {}
    found: Trades = {}
    for one in journal:
        trade = one.trade
        market = trade.market
        symbol = SYMBOLS.get(market.exchange, {}).get(market.native_symbol)
        if not symbol:
            continue
        run, before = last.get((market.exchange, symbol), (0, 0))
        run += trade.trade_id <= before
        last[market.exchange, symbol] = run, trade.trade_id
        # Binance tells milliseconds.
        unit = 1000 if market.exchange == "binance" else 1
        content = Content(
            trade.time_us // unit * unit, trade.bought, Decimal(price(trade)),
            Decimal(quantity(trade)),
        )  # fmt: skip
        found.setdefault((market.exchange, symbol, run), {})[trade.trade_id] = content
    return found


class Stored:
    """The stored trades, by their numberings."""

    def __init__(self, tables: Database) -> None:
        self.rows = 0
        self.trades: Trades = {}
        for exchange, symbol, numbering, number, *content in tables.query(_ROWS).rows():
            self.rows += 1
            one = Content(*content)._replace(bought=bool(content[1]))
            self.trades.setdefault((exchange, symbol, numbering), {})[number] = one

    def has(self, last: Iterable[tuple[Series, int]]) -> bool:
        """Whether it has these trades."""
        return all(number in self.trades.get(series, ()) for series, number in last)

    def missing(self, published: Trades) -> list[tuple[object, ...]]:
        """What is not stored between the first and the last trade stored of a run of numbers."""
        return [
            (*series, number)
            for series, trades in published.items()
            if (known := self.trades.get(series))
            for number in trades.keys() - known.keys()
            if min(known) < number < max(known)
        ]


def last_told(
    journal: Sequence[Published], published: Trades, since: int
) -> list[tuple[Series, int]]:
    """Of each market the last trade that somebody was told of, of those that were published after
    the first so many.
    """
    newest = {series[:2]: series for series in published}
    told: dict[Series, int] = {}
    for one in journal[since:]:
        market = one.trade.market
        symbol = SYMBOLS.get(market.exchange, {}).get(market.native_symbol)
        if symbol and not one.skipped:
            told[newest[market.exchange, symbol]] = one.trade.trade_id
    return list(told.items())


def compare(tables: Database, journal: Sequence[Published]) -> Account:
    """Each trade between the first and the last one of a run of numbers is stored once, as it was
    published; each closed candle is `complete` if its trades are, and no other one is.

    Trades after the last one stored of a market are not known to be missing (docs/candles.md): they
    were on their way when the process ended. If a clock was set back, they may belong to a closed
    candle.
    """
    found, stored = Account(), Stored(tables)
    found.frames = int(tables.query("SELECT count() FROM bronze_frames FINAL").item())
    published = by_series(journal)
    found.trades = sum(map(len, stored.trades.values()))
    found.lost = found.note("trades lost", stored.missing(published))
    found.doubled = found.note("rows of trades twice", range(stored.rows - found.trades))
    found.note("trades that are not as published", _changed(stored, published))
    found.note("gaps of what was not published, or open", _odd_gaps(tables, published))
    _candles(found, tables, stored, published)
    found.wrong += check_totals(tables.client)
    checked = verify(tables.client)
    if not checked.equal:
        found.wrong.append(report(checked))
    return found


def _changed(stored: Stored, published: Trades) -> Iterator[object]:
    for series, trades in stored.trades.items():
        for number, content in trades.items():
            if published.get(series, {}).get(number) != content:
                yield series, number, content


def _odd_gaps(tables: Database, published: Trades) -> Iterator[object]:
    for *series, first, last, state in tables.query(_GAPS).rows():
        known = published.get((series[0], series[1], series[2]), {})
        if state != "repaired" or first not in known or last not in known:
            yield (*series, first, last, state)


def _candles(found: Account, tables: Database, stored: Stored, published: Trades) -> None:
    """Candles of what was published against those stored."""
    known = _without_last(stored, published)
    expected = oracle.candles(_fills(known), dict.fromkeys(SYMBOLS, _FAR_US))
    held = oracle.candles(_fills(stored.trades), dict.fromkeys(SYMBOLS, _FAR_US))
    ends = _unproven(stored, published)
    certified, candles = certificates(tables), gold(tables)
    wrong = [f"no {window}" for window in held.keys() - candles.keys()]
    badly = []
    for window, candle in candles.items():
        if not _same(candle, held.get(window)):
            wrong.append(f"{window}: {candle}, and of the stored trades {held.get(window)}")
        if not candle["closed"]:
            continue
        begin, end = window[3] * 1_000_000, (window[3] + oracle.LENGTHS[window[0]]) * 1_000_000
        whole = _same(candle, expected.get(window))
        proven = not any(begin <= time < end for time in ends.get((window[1], window[2]), ()))
        wanted = "complete" if whole and proven else "partial"
        if (status := certified[window]["status"]) != wanted:
            badly.append(f"{window} is {status}, not {wanted}")
    found.candles = found.note("candles wrong", wrong)
    found.certificates = found.note("certificates wrong", badly)


def _same(candle: dict[str, Any], other: dict[str, Any] | None) -> bool:
    return other is not None and all(
        candle[name] == other[name] for name in FIELDS if name not in ("closed", "version")
    )


def _fills(series: Trades) -> list[Fill]:
    return [
        Fill(exchange, symbol, f"{run} {number}", number, *content)
        for (exchange, symbol, run), trades in series.items()
        for number, content in trades.items()
    ]


def _without_last(stored: Stored, published: Trades) -> Trades:
    """Return what was published, without the trades after the last one stored of each market."""
    newest = {series[:2]: series for series in sorted(published)}
    known = dict(published)
    for series in newest.values():
        if last := max(stored.trades.get(series, ()), default=0):
            trades = published[series]
            known[series] = {number: trades[number] for number in trades if number <= last}
    return known


def _unproven(stored: Stored, published: Trades) -> dict[tuple[str, str], list[int]]:
    """By market, the times of the first and the last stored trade of each run of numbers, but of
    the last one of all.
    """
    times: dict[tuple[str, str], list[int]] = {}
    for series in sorted(stored.trades.keys() & published.keys()):
        trades = stored.trades[series]
        found = times.setdefault(series[:2], [])
        found += [trades[min(trades)].time, trades[max(trades)].time]
    return {market: found[:-1] for market, found in times.items()}
