"""Filling gaps as a source: trades that exchanges are asked for by REST."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from candlewax.connectors._gaps import REPAIRING, UNREPAIRABLE, Gaps, Left, Written
from candlewax.connectors._inbox import Row, feed
from candlewax.connectors.clickhouse import Database
from candlewax.connectors.rest import Answer, Client, RefusalError, Stopped
from candlewax.exchanges._rest import Rest
from candlewax.feed import FROM_REST, Feed
from candlewax.refill import SURE_US, Fate, Gap, Outcome, Stretch, Walk, stretches, too_long
from candlewax.tally import Tally
from candlewax.telling import tells

WAITING: Final = 16
"""Answers that may wait to be taken; then the exchange is not asked on."""

LINGER: Final = timedelta(milliseconds=50)
"""Time between two looks of a worker at what came."""

_JOIN_S: Final = 5.0
"""How long the end of a thread is waited for; a request under way may take longer."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """Seconds: `settle_s` is left to a new gap to close by itself, as trades come out of
    order; it is asked for again after `first_s`, then twice as long each time up to
    `most_s`; the table is looked at every `poll_s`. An answer that lacks trades proves
    that there are none `sure_s` after them. Who is to end tries a gap so many `tries`.
    """

    settle_s: float = 3.0
    first_s: float = 5.0
    most_s: float = 300.0
    poll_s: float = 1.0
    sure_s: float = SURE_US / 1e6
    tries: int = 3

    def due(self, left: Left) -> bool:
        """Whether it is a gap's turn."""
        if not left.gap.attempts:
            return left.age_s >= self.settle_s
        doubled: float = self.first_s * 2 ** min(left.gap.attempts - 1, 30)
        return left.idle_s >= min(doubled, self.most_s)


@dataclass(frozen=True)
class Asked:
    """How an exchange is asked: where, if not at its own address, and with which key."""

    rest: Rest
    url: str | None = None
    key: str | None = None


class _Filler:
    """Asks one exchange in a thread of its own. `finite` ends it when nothing is left."""

    def __init__(
        self, exchange: str, asked: Asked, database: Database, tally: Tally, pace: Pace,
        *, finite: bool,
    ) -> None:  # fmt: skip
        self._exchange = exchange
        self._asked = asked
        self._tally = tally
        self._pace = pace
        self._finite = finite
        self._stop = threading.Event()
        self._gaps = Gaps(database, exchange, self._pause)
        self._client = Client(asked.rest, asked.url, asked.key, wait=self._wait)
        self._refusals, self._why = 0, ""
        self._tried: dict[tuple[str, int, int], int] = {}
        self._rows: deque[Row] = deque()
        self._room = threading.Semaphore(WAITING)
        self._seq: dict[str, int] = {}
        self.ended = False
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"rest-{exchange}", daemon=True)
        self._thread.start()

    def take(self) -> list[Row]:
        """What came, in order."""
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        for _ in rows:
            self._room.release()
        return rows

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()

    def join(self) -> None:
        """Wait for its end, but not for ever."""
        self._stop.set()
        self._thread.join(_JOIN_S)

    def _wait(self, seconds: float) -> bool:
        return not self._stop.wait(seconds)

    def _pause(self, seconds: float) -> None:
        if not self._wait(seconds):
            raise Stopped

    def _run(self) -> None:
        try:
            while self._round() or not self._finite:
                self._pause(self._pace.poll_s)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised in the thread that takes
            self.failure = error
        finally:
            self._client.close()
            self.ended = True

    def _round(self) -> bool:
        """Ask for what is due; tells whether that was anything."""
        due = [left for left in self._gaps.left() if self._due(left)]
        lefts = {left.gap: left for left in due}
        long = {gap: Outcome(Fate.NEVER, reason) for gap in lefts if (reason := too_long(gap))}
        self._write(lefts, long)
        for stretch in stretches(lefts.keys() - long.keys(), self._asked.rest.page):
            before = self._refusals
            self._write(lefts, self._fill(stretch))
            if self._refusals > before:
                self._refused(lefts)
                break
        return bool(due)

    def _refused(self, lefts: Mapping[Gap, Left]) -> None:
        """Others have their turn later; who is to end gives up an exchange at last."""
        if self._finite and self._refusals >= self._pace.tries:
            self._write(
                lefts,
                {
                    gap: Outcome(Fate.LATER, self._why)
                    for gap, left in lefts.items()
                    if self._due(left)
                },
                over=True,
            )

    def _due(self, left: Left) -> bool:
        if not self._finite:
            return self._pace.due(left)
        return self._tries(left) < self._pace.tries

    def _fill(self, stretch: Stretch) -> dict[Gap, Outcome]:
        """Ask until all that is to be had has come."""
        native = self._gaps.native(stretch.gaps[0])
        if native is None:
            unknown = "nothing of this market is stored that says how the exchange calls it"
            return dict.fromkeys(stretch.gaps, Outcome(Fate.LATER, unknown))
        rest = self._asked.rest
        key = f"CANDLEWAX_{self._exchange.upper()}_KEY" if rest.key_needed else None
        walk = Walk(stretch, rest, None if self._asked.key else key, int(self._pace.sure_s * 1e6))
        try:
            while self._take(native, walk, self._client.ask(walk.target(native))):
                pass
        except RefusalError as refusal:
            self._tally.add(1, "rest", self._exchange, "refused")
            if refusal.never:
                return dict.fromkeys(stretch.gaps, Outcome(Fate.NEVER, refusal.reason))
            self._refusals, self._why = self._refusals + 1, refusal.reason
            return {gap: walk.refused(gap, refusal.reason, _now()) for gap in stretch.gaps}
        return {gap: walk.outcome(gap, _now()) for gap in stretch.gaps}

    def _take(self, native: str, walk: Walk, answer: Answer) -> bool:
        """Hand an answer on; tells whether there is more to ask for."""
        self._tally.add(1, "rest", self._exchange, "answered")
        self._refusals = 0
        if answer.page.numbers:
            while not self._room.acquire(timeout=0.1):
                if self._stop.is_set():
                    raise Stopped
            seq = self._seq.get(native, 0)
            self._seq[native] = seq + 1
            self._rows.append((answer.received_ns, FROM_REST + native, seq, answer.text))
        return walk.take(answer.page)

    def _write(
        self, lefts: Mapping[Gap, Left], outcomes: Mapping[Gap, Outcome], *, over: bool = False
    ) -> None:
        """Write down what became of gaps, and say it. If `over` they are not tried again."""
        written = []
        for gap, outcome in outcomes.items():
            left, never = lefts[gap], outcome.fate is Fate.NEVER
            done = over or outcome.fate is not Fate.LATER
            self._tried[_key(left)] = self._pace.tries if done else self._tries(left) + 1
            written.append(Written(left, UNREPAIRABLE if never else REPAIRING, outcome.reason))
            level = logging.WARNING if never else logging.INFO
            name = f"{self._exchange} {gap.symbol} {gap.first} to {gap.last}"
            _log.log(level, "gap of %s: %s", name, outcome.reason)
        if written:
            self._gaps.write(written)

    def _tries(self, left: Left) -> int:
        return self._tried.get(_key(left), 0)


def _key(left: Left) -> tuple[str, int, int]:
    return left.gap.symbol, left.gap.first, left.gap.last


def _now() -> int:
    return time.time_ns() // 1000


@tells
class _Part(StatefulSourcePartition[Feed, None]):
    def __init__(
        self, exchange: str, filler: _Filler, tally: Tally, stopping: Callable[[], bool]
    ) -> None:
        self._exchange = exchange
        self._filler = filler
        self._tally = tally
        self._stopping = stopping
        self._awake: datetime | None = None

    def next_batch(self) -> Iterable[Feed]:
        stopping = self._stopping()
        if stopping:
            self._filler.stop()
        # Asked before taking: what is queued by then is all there will be.
        ended = self._filler.ended
        if self._filler.failure:
            raise RuntimeError(f"{self._exchange}: filling gaps failed") from self._filler.failure
        rows = self._filler.take()
        self._awake = datetime.now(UTC) + LINGER
        if ended and not rows:
            self._tally.ended = self._tally.ended or not stopping
            raise StopIteration
        return feed(self._exchange, rows)

    def next_awake(self) -> datetime | None:
        return self._awake

    def snapshot(self) -> None:
        return None

    def close(self) -> None:
        self._filler.join()


class Repairs(FixedPartitionedSource[Feed, None]):
    """Asks exchanges by REST for the trades that the table `gaps` says nobody has seen.

    Emits the answers as frames of the connection `rest/<native symbol>`, verbatim, and
    writes into the table how often each gap was asked for and what came of it. Whether it
    is filled is said by who sees the trades. An exchange that refuses is asked again, with
    growing pauses, for ever; only what an answer proves to be absent is given up.

    Unit of parallelism: an exchange, in a thread of its own, so that no worker waits for
    an answer. Delivery: at least once; a gap whose trades were not stored is asked for
    again. Ends when `stopping`, or if `finite` when nothing is left to ask.
    """

    def __init__(
        self,
        asked: Mapping[str, Asked],
        database: Database,
        tally: Tally,
        stopping: Callable[[], bool] = lambda: False,
        *,
        pace: Pace | None = None,
        finite: bool = False,
    ) -> None:
        """`asked` says how, by exchange."""
        self._asked = asked
        self._database = database
        self._tally = tally
        self._stopping = stopping
        self._pace = pace or Pace()
        self._finite = finite

    def list_parts(self) -> list[str]:
        return list(self._asked)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> _Part:
        filler = _Filler(
            for_part,
            self._asked[for_part],
            self._database,
            self._tally,
            self._pace,
            finite=self._finite,
        )
        return _Part(for_part, filler, self._tally, self._stopping)
