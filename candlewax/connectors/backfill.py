"""Trades of a span of time as a source: from REST, or from dump files."""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl
from bytewax.inputs import FixedPartitionedSource

from candlewax.connectors import _dumps
from candlewax.connectors._dumps import DumpError
from candlewax.connectors._outlet import Outlet, OutletPart
from candlewax.connectors.rest import Answer, Client, RefusalError
from candlewax.exchanges._dump import lift_lines
from candlewax.exchanges._layout import Dump
from candlewax.exchanges._rest import Place, Rest
from candlewax.feed import FROM_DUMP, FROM_REST, Feed
from candlewax.tally import Tally

TRIES: Final = 8
"""How often a request is made that the exchange refuses."""

WAITING: Final = 64
"""Texts that may wait to be taken; all that wait become one batch, and candles of old
trades are computed anew for each batch.
"""

Texts = Iterator[Answer] | Iterator[str | bytes]
"""Answers of REST, or pieces of dumps."""

Span = tuple[int, int]
"""Times in microseconds since 1970, the end exclusive."""


class BackfillError(RuntimeError):
    """Not all that was asked for has come; the text says why."""


def pages(
    client: Client,
    rest: Rest,
    native: str,
    span: Span,
    count: Callable[[int], None],
    within: Callable[[int], None] = lambda _: None,
) -> Iterator[Answer]:
    """All answers with trades of a span, whole pages: the first may begin a little before
    and the last end behind it. A page without any trade of the span is left out. `count` is told
    how far it has come, in microseconds, `within` how many trades of the span came.

    Raises BackfillError where the exchange refuses.
    """
    begin, end = span
    # An exchange may tell its times in whole milliseconds.
    whole = begin // 1000 * 1000
    number, newest = (0, 0) if rest.by_time else _numbers(client, rest, native, whole)
    place, high, reached = Place(number, max(begin * 1000 - 1, 0)), -1, begin
    while True:
        answer = _asked(client, rest.target(native, place, rest.page))
        page = answer.page
        if page.numbers and page.numbers[-1] > high:
            new = page.times[bisect_right(page.numbers, high) :]
            held = sum(begin <= time < end for time in new)
            within(held)
            if held:
                yield answer
            high, latest = page.numbers[-1], min(max(page.times[-1], reached), end)
            count(latest - reached)
            reached = latest
            if page.times[-1] >= end:
                return
        elif not rest.windowed or place.number > newest:
            return
        following = place.number + rest.page if rest.windowed else high + 1
        place = Place(following, page.until_ns)


def _numbers(client: Client, rest: Rest, native: str, begin: int) -> tuple[int, int]:
    """From which number on to ask for the trades from a time on, less than a page before
    them; and the newest number.
    """
    found = _asked(client, rest.newest(native, 1)).page
    if not found.numbers:
        return 0, 0
    newest = found.numbers[-1]
    low, high = 0, newest + 1
    middle = 0  # an exchange may say at once which is the oldest it shows
    while high - low > rest.page:
        page = _asked(client, rest.target(native, Place(middle), 1)).page
        if not page.numbers:
            low = middle
        elif page.times[-1] < begin:
            low = max(middle, page.numbers[-1])
        elif page.numbers[-1] > middle == 0:
            return page.numbers[-1], newest
        else:
            high = max(low + 1, min(middle, page.numbers[-1]))
        middle = (low + high) // 2
    return low, newest


def _asked(client: Client, target: str) -> Answer:
    for left in reversed(range(TRIES)):
        try:
            return client.ask(target)
        except RefusalError as refusal:
            if refusal.never or not left:
                raise BackfillError(f"{client}: {refusal.reason}") from refusal
    raise AssertionError


def pieces(
    files: Sequence[Path], dump: Dump, span: Span | None, count: Callable[[int], None]
) -> Iterator[str | bytes]:
    """All pieces of some dump files with the lines of a span, or with all of them; lines
    that cannot be read are never left out. Raises BackfillError.
    """
    try:
        for path in files:
            for piece in _dumps.pieces(path, count):
                text = (
                    piece
                    if span is None or isinstance(piece, bytes)
                    else _within(piece, dump, span)
                )
                if text:
                    yield text
    except DumpError as error:
        raise BackfillError(str(error)) from error


def _within(piece: str, dump: Dump, span: Span) -> str:
    frame = pl.DataFrame({"row": [0], "native": [""], "frame": [piece]})
    native, _ = lift_lines(dump, frame)
    times = native.select("index", time=dump.dialect.columns["time"])
    outside = times.filter(~pl.col("time").is_between(*span, closed="left"))
    left_out = set(outside["index"])
    lines = piece.split("\n")
    return "\n".join(line for n, line in enumerate(lines) if n not in left_out)


class Backfill(FixedPartitionedSource[Feed, None]):
    """Emits texts about one market as frames of the connection `rest/<native symbol>`, or
    `dump/<native symbol>`, one after another.

    Unit of parallelism: one partition, with a thread of its own. Delivery: from the
    beginning each time it is run; what is stored already is recognized. Ends with the last
    text, when `stopping`, or at an error, which is then found in `error`; what came before
    is emitted.
    """

    error: BackfillError | None = None

    def __init__(
        self,
        exchange: str,
        native: str,
        texts: Callable[[Callable[[float], bool]], Texts],
        tally: Tally,
        stopping: Callable[[], bool],
    ) -> None:
        """`texts` is given what waits some seconds and tells whether to go on."""
        self._exchange = exchange
        self._native = native
        self._texts = texts
        self._tally = tally
        self._stopping = stopping

    def list_parts(self) -> list[str]:
        return ["backfill"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> OutletPart:
        outlet = Outlet("backfill", self._work, WAITING)
        return OutletPart(self._exchange, outlet, self._tally, self._stopping)

    def _work(self, outlet: Outlet) -> None:
        try:
            for seq, text in enumerate(self._texts(outlet.wait)):
                if isinstance(text, Answer):
                    outlet.put((text.received_ns, FROM_REST + self._native, seq, text.text))
                else:
                    outlet.put((time.time_ns(), FROM_DUMP + self._native, seq, text))
        except BackfillError as error:
            self.error = error
