"""First pages of a span before the start, by which its other trades become a gap.

A market of which no trade before the span is stored has no gap there: nothing shows that trades
are missing. So the first trades of the span and the newest one are requested. Between them the
deduplication step finds a gap, which is stored, filled and reported like any other. Where numbers
do not show gaps, all pages of the span are requested.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from candlewax.clickhouse.client import Database
from candlewax.exchanges.protocol.rest import Cursor, Page, RestRules
from candlewax.feeds.rest.client import Answer, Client, RefusalError, TooLargeError
from candlewax.feeds.rest.id_check import CheckAnswer, check_nothing
from candlewax.feeds.rest.span_pages import BackfillError, Span, SpanCounts, pages

_MARGIN_US: Final = 60_000_000
"""Time that requests may take: the exchange shows trades of a span from now back."""

RETRY_S: Final = 300.0
"""Seconds until a market is requested again whose first pages did not come."""

_KNOWN: Final = """
SELECT DISTINCT native_symbol FROM silver_trades
WHERE exchange = {exchange:String}
    AND timestamp < fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
"""

_log = logging.getLogger(__name__)


def span_begin(fill: timedelta, now: datetime) -> datetime:
    """Return the begin of a span before `now`: a whole hour, so that its first hour is complete."""
    begin = now.astimezone(UTC) - fill
    return begin.replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True)
class StartSpan:
    """Span to fill: from `begin_us`, microseconds since 1970, to the start of the process.

    `native_symbols` are the markets by exchange.
    """

    begin_us: int
    native_symbols: Mapping[str, Sequence[str]] = field(default_factory=dict)


def markets_to_fill(
    database: Database,
    exchange: str,
    rest: RestRules,
    span: StartSpan,
    wait: Callable[[float], object],
) -> Sequence[str]:
    """Return the native symbols whose first pages are requested.

    These are the ones of which no trade before the span is stored; all of them where numbers do not
    show gaps.
    """
    names = span.native_symbols.get(exchange, ())
    if not names or not rest.shows_gaps:
        return names
    parameters = {"exchange": exchange, "begin": span.begin_us}
    known = set(database.query(_KNOWN, parameters, wait)["native_symbol"])
    return [name for name in names if name not in known]


class StartFill:
    """Requests of the first pages of the markets of one exchange, for use by one thread."""

    def __init__(
        self,
        client: Client,
        rest: RestRules,
        native_symbols: Sequence[str],
        begin_us: int,
        put: Callable[[str, Answer], None],
        now: Callable[[], float] = time.monotonic,
        check: CheckAnswer = check_nothing,
    ) -> None:
        """`put` is called with a native symbol and each response about it; `check` before it."""
        self._client = client
        self._rest = rest
        self._begin_us = begin_us
        self._put = put
        self._now = now
        self._check = check
        self._due_at = dict.fromkeys(native_symbols, now())

    @property
    def is_done(self) -> bool:
        """Return True if no market is to be requested any more."""
        return not self._due_at

    def covers(self, native_symbol: str, begin_us: int) -> bool:
        """Return whether the trades of a market since a time, in microseconds, will be requested.

        Each request reaches until the moment when it is sent.
        """
        return native_symbol in self._due_at and self._begin_us <= begin_us

    def run(self) -> None:
        """Request the first pages of all markets that are due, each until they have come.

        A market whose first pages do not come is named in the log with the reason. It is requested
        again later, unless the exchange refuses it for good or its answers are unusable.
        """
        for native_symbol, due_at in list(self._due_at.items()):
            if due_at > self._now():
                continue
            try:
                for answer in self._first_pages(native_symbol):
                    self._check(native_symbol, answer)
                    self._put(native_symbol, answer)
            except (BackfillError, RefusalError) as error:
                self._postpone(native_symbol, error)
            else:
                del self._due_at[native_symbol]

    def _first_pages(self, native_symbol: str) -> Iterator[Answer]:
        """Yield a response with the first trades of the span, and one with the newest trade; all
        pages of the span where numbers do not show gaps.

        None if the market has no trade in the span; no other trades come with them. Raises
        BackfillError or RefusalError.
        """
        now_us = time.time_ns() // 1000
        span: Span = self._clip(native_symbol, self._begin_us, now_us), now_us
        found = pages(self._client, self._rest, native_symbol, span, lambda _: None, SpanCounts())
        if not self._rest.shows_gaps:
            yield from found
            return
        for first in islice(found, 1):
            yield first
            if not first.page.numbers:
                next(found, None)  # raises the error that says so
                return
            self._check_reach(native_symbol, first.page)
            newest = self._client.ask(self._rest.latest_path(native_symbol, 1))
            if newest.page.numbers and newest.page.numbers[0] > first.page.numbers[-1]:
                yield newest

    def _clip(self, native_symbol: str, begin_us: int, now_us: int) -> int:
        """Return the begin, or the earliest time of which the exchange still shows trades.

        The log says if that is later.
        """
        if self._rest.reach_s is None:
            return begin_us
        earliest_us = now_us - int(self._rest.reach_s * 1_000_000) + _MARGIN_US
        if begin_us < earliest_us:
            _log.warning(
                "%s: the exchange shows trades of %s since %s only; those since %s are not filled",
                self._client, native_symbol, _show(earliest_us), _show(begin_us),
            )  # fmt: skip
        return max(begin_us, earliest_us)

    def _check_reach(self, native_symbol: str, page: Page) -> None:
        """Log where the exchange's trades begin, if it shows none before the first of the span.

        Whether there were any cannot be known then. Raises RefusalError.
        """
        first = page.numbers[0]
        if first <= 1:
            return
        path = self._rest.trades_path(native_symbol, Cursor(first - 1), 1)
        numbers = self._client.ask(path).page.numbers
        if not numbers or numbers[0] >= first:
            _log.warning(
                "%s: the exchange shows no trade of %s before number %d, of %s; trades since %s "
                "before it are not filled",
                self._client, native_symbol, first, _show(page.times_us[0]), _show(self._begin_us),
            )  # fmt: skip

    def _postpone(self, native_symbol: str, error: BackfillError | RefusalError) -> None:
        refusal = error if isinstance(error, RefusalError) else error.__cause__
        is_permanent = (
            not isinstance(refusal, RefusalError)
            or refusal.is_permanent
            or isinstance(refusal, TooLargeError)
        )
        again = (
            "they are not asked for again before the next start"
            if is_permanent
            else f"they are asked for again in {RETRY_S:.0f} s"
        )
        _log.warning(
            "%s: trades of %s since %s are not filled: %s; %s",
            self._client, native_symbol, _show(self._begin_us), error, again,
        )  # fmt: skip
        if is_permanent:
            del self._due_at[native_symbol]
        else:
            self._due_at[native_symbol] = self._now() + RETRY_S


def _show(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
