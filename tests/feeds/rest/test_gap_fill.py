"""When a gap has its turn, and how frames leave the thread that asks."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from candlewax.clickhouse.gap_table import REPAIRING, UNREPAIRABLE, GapAttempt, PendingGap
from candlewax.core.frames import FrameBatch
from candlewax.core.gaps.fill_plan import RETRY_PREFIX, FillGap
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.rest import Page
from candlewax.feeds.frame_buffer import Row
from candlewax.feeds.rest import gap_fill
from candlewax.feeds.rest.client import Answer, RefusalError
from candlewax.feeds.rest.fill_schedule import AttemptLog, FillTiming, GapSelection, Schedule
from candlewax.feeds.rest.gap_fill import RestEndpoint
from candlewax.feeds.rest.worker import WorkerPartition, WorkerStopped, WorkerThread
from candlewax.runtime.counters import Counters

PACE = FillTiming(settle_s=3, first_retry_s=5, max_retry_s=300)


@pytest.mark.parametrize(
    ("attempts", "age_s", "idle_s", "due"),
    [
        # A new gap may close by itself.
        (0, 2.9, 0.0, False),
        (0, 3.0, 0.0, True),
        (1, 100.0, 4.9, False),
        (1, 100.0, 5.0, True),
        (3, 100.0, 19.9, False),
        (3, 100.0, 20.0, True),
        (1000, 1e9, 299.0, False),
        (1000, 1e9, 300.0, True),
    ],
)
def test_whose_turn_it_is(attempts: int, age_s: float, idle_s: float, due: bool) -> None:
    """After a moment first, then after pauses that double up to a bound."""
    gap = FillGap("BTC/USDT", 2, 3, 0, 1, attempts)
    assert PACE.is_due(PendingGap(gap, age_s, idle_s, {"reason": ""})) is due


def test_of_gaps_that_are_no_more_nothing_is_remembered() -> None:
    """A process that runs for months meets ever new ones; those that are left count on."""
    account = AttemptLog()
    for number in range(5):
        key = ("BTC/USDT", 1, number, number)
        account.attempts[key] = account.filled[key] = 2
        account.requested_at[key] = 7.0
    there = [FillGap("BTC/USDT", number, number, 0, 1, 2) for number in (1, 3)]
    account.keep([PendingGap(gap, 9.0, 9.0, {"numbering": 1}) for gap in there])
    expected = {("BTC/USDT", 1, 1, 1): 2, ("BTC/USDT", 1, 3, 3): 2}
    assert account.attempts == expected
    assert account.filled == expected
    assert account.requested_at == dict.fromkeys(expected, 7.0)
    account.keep([])
    assert account == AttemptLog()


DOUBTED = {"reason": f"{RETRY_PREFIX}too old: the exchange shows trades from 50 on"}


@pytest.mark.parametrize("finite", [False, True])
def test_the_second_look_waits_by_a_clock_that_nobody_sets(*, finite: bool) -> None:
    """The table's times say an hour after a step of the database's clock, or nothing at all."""
    now = 1000.0
    schedule = Schedule(replace(PACE, confirm_s=180), is_finite=finite, now=lambda: now)
    gap = FillGap("BTC/USDT", 2, 3, 0, 1, 1)
    schedule.record(PendingGap(gap, 3600.0, 0.0, {"reason": ""}), is_final=False)
    for idle_s in (-3600.0, 3600.0):
        left = PendingGap(gap, 3600.0, idle_s, DOUBTED)
        now = 1179.9
        assert not schedule.is_due(left)
        now = 1180.0
        assert schedule.is_due(left)


@pytest.mark.parametrize(("idle_s", "due"), [(179.9, False), (180.0, True)])
def test_the_next_process_has_only_the_times_of_the_table(idle_s: float, *, due: bool) -> None:
    """It did not take the first look."""
    schedule = Schedule(replace(PACE, confirm_s=180), is_finite=True, now=lambda: 5.0)
    left = PendingGap(FillGap("BTC/USDT", 2, 3, 0, 1, 1), 3600.0, idle_s, DOUBTED)
    assert schedule.is_due(left) is due


def test_a_finite_run_tries_each_gap_some_times() -> None:
    """Unless it is over before; pauses between them are the client's."""
    schedule = Schedule(replace(PACE, tries=3), is_finite=True)
    one, other = (PendingGap(FillGap("X", n, n, 0, 1, 9), 9.0, 0.0, {"reason": ""}) for n in (1, 2))
    for _ in range(3):
        assert schedule.is_due(one)
        schedule.record(one, is_final=False)
    assert not schedule.is_due(one)
    schedule.record(other, is_final=True)
    assert not schedule.is_due(other)


class Table:
    """Gaps that are left, and what is written of them; all wait for nothing."""

    def __init__(self, *gaps: FillGap) -> None:
        self._left = {gap: {"reason": "", "numbering": 0} for gap in gaps}
        self.written: list[tuple[int, int, str]] = []

    def list_pending(self, *_: object, **__: object) -> list[PendingGap]:
        return [PendingGap(gap, 9.0, 9.0, row) for gap, row in self._left.items()]

    def find_native_symbol(self, _: FillGap) -> str:
        return "BTCUSDT"

    def write(self, attempts: Sequence[GapAttempt]) -> None:
        for one in attempts:
            gap = one.pending.gap
            self.written.append((gap.first, one.state, one.reason))
            row = self._left.pop(gap)
            if one.state != UNREPAIRABLE:
                self._left[gap] = {**row, "reason": one.reason}


class Asked:
    """Answers: the numbers of a page each, a refusal where there are none; the last for ever."""

    def __init__(self, *answers: Sequence[int]) -> None:
        self._answers = list(answers)
        self.froms: list[int] = []

    def ask(self, target: str) -> Answer:
        self.froms.append(int(target.partition("fromId=")[2].partition("&")[0]))
        numbers = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not numbers:
            raise RefusalError("status 503")
        return Answer("", 0, Page(numbers, [0] * len(numbers)))

    def close(self) -> None:
        """There is no connection."""


def fill(
    monkeypatch: pytest.MonkeyPatch, gaps: Sequence[FillGap], asked: Asked, *, finite: bool
) -> list[tuple[int, int, str]]:
    """What is written of gaps that are asked for, round after round, forty at most."""
    table = Table(*gaps)
    monkeypatch.setattr(gap_fill, "GapTable", lambda *_: table)
    monkeypatch.setattr(gap_fill, "Client", lambda *_, **__: asked)
    rounds = 0

    def pause(_: float) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 40:
            raise WorkerStopped

    pace = replace(PACE, settle_s=0, first_retry_s=0, proof_age_s=0, confirm_s=0, tries=3)
    rest: Any = RestEndpoint(EXCHANGES["binance"].rest)
    nothing: Any = None
    filler = gap_fill._GapFiller(  # noqa: SLF001 - without a thread of its own
        "binance", rest, nothing, Counters(), pace, nothing, GapSelection(), is_finite=finite
    )
    outlet: Any = SimpleNamespace(pause=pause, wait=nothing, put=lambda _: None)
    with suppress(WorkerStopped):
        filler.work(outlet)
    return table.written


FIRST, SECOND = FillGap("BTC/USDT", 10, 12, 0, 1), FillGap("BTC/USDT", 5_000, 5_009, 0, 1)


def test_gap_that_comes_whole_and_is_still_there_is_asked_for_ten_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then it is given up: what came cannot be stored."""
    asked = Asked(range(9, 14))
    written = fill(monkeypatch, [FIRST], asked, finite=False)
    assert [state for _, state, _ in written] == [REPAIRING] * 9 + [UNREPAIRABLE]
    assert asked.froms == [9] * 10


def test_exchange_that_refuses_three_times_in_a_row_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a run that is to end: its other gaps are not asked for."""
    asked = Asked([])
    written = fill(monkeypatch, [FIRST, SECOND], asked, finite=True)
    assert asked.froms == [9] * 3
    assert written[-1] == (5_000, REPAIRING, "status 503")


def test_refusals_count_anew_after_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there were before: here one, and then twice one behind an answer."""
    asked = Asked([], [9, 10], [], [9, 10], [], range(4_999, 5_011))
    written = fill(monkeypatch, [FIRST, SECOND], asked, finite=True)
    assert asked.froms == [9, 9, 11, 9, 11, 4_999]
    assert written[-1] == (5_000, REPAIRING, "asked for: 10 trades came")


def row(number: int) -> Row:
    return (number, "rest/X", number, f"frame {number}")


def taken(part: WorkerPartition) -> list[str]:
    """All that comes until the part ends."""
    found: list[str] = []
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            for item in part.next_batch():
                assert isinstance(item, FrameBatch)
                found += item.frames["frame"].to_list()
        except StopIteration:
            return found
        time.sleep(0.001)
    raise AssertionError


def test_all_frames_come_in_order() -> None:
    """Few may wait at a time; the thread waits with the others."""

    def work(outlet: WorkerThread) -> None:
        for number in range(50):
            outlet.put(row(number))

    tally = Counters()
    part = WorkerPartition("binance", WorkerThread("test", work, 3), tally, lambda: False)
    assert taken(part) == [f"frame {number}" for number in range(50)]
    assert tally.ended


def test_a_thread_that_waits_is_stopped() -> None:
    """For room, or for its turn; what it had put is taken."""
    began = threading.Event()

    def without_room(outlet: WorkerThread) -> None:
        outlet.put(row(0))
        began.set()
        outlet.put(row(1))

    def without_turn(outlet: WorkerThread) -> None:
        outlet.put(row(0))
        began.set()
        outlet.pause(600)

    for work in (without_room, without_turn):
        began.clear()
        tally = Counters()
        part = WorkerPartition("binance", WorkerThread("test", work, 1), tally, began.is_set)
        began.wait(60)
        assert taken(part)[0] == "frame 0"
        assert not tally.ended
        part.close()


def test_a_thread_that_fails_fails_its_worker() -> None:
    """With the cause."""

    def work(outlet: WorkerThread) -> None:
        outlet.put(row(0))
        raise ValueError("no more")

    part = WorkerPartition("binance", WorkerThread("test", work, 3), Counters(), lambda: False)
    with pytest.raises(RuntimeError, match="binance: asking failed") as failure:
        taken(part)
    assert isinstance(failure.value.__cause__, ValueError)
