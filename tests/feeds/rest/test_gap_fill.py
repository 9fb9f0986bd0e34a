"""Attempts of the gap filler: their order, their results, and what stops them."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import polars as pl
import pytest

from candlewax.clickhouse.gap_table import REPAIRING, UNREPAIRABLE, GapAttempt, PendingGap
from candlewax.core.gaps.fill_plan import FillGap
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.rest import Page
from candlewax.feeds.rest import gap_filler
from candlewax.feeds.rest.client import Answer, RefusalError, RetryPolicy
from candlewax.feeds.rest.fill_schedule import FillTiming, GapSelection
from candlewax.feeds.rest.gap_filler import GapFiller, RestEndpoint
from candlewax.feeds.rest.worker import WorkerStopped
from candlewax.runtime.counters import Counters

TIMING = FillTiming(settle_s=3, first_retry_s=5, max_retry_s=300)


class Table:
    """Table of pending gaps that are always due, and the attempts written to it."""

    def __init__(self, *gaps: FillGap) -> None:
        self._left = {gap: {"reason": "", "numbering": 0} for gap in gaps}
        self.written: list[tuple[int, int, str]] = []

    def add(self, gap: FillGap) -> None:
        self._left[gap] = {"reason": "", "numbering": 0}

    def list_pending(self, *_: object, **__: object) -> list[PendingGap]:
        return [PendingGap(gap, 9.0, 9.0, row) for gap, row in self._left.items()]

    def find_native_symbol(self, _: FillGap) -> str:
        return "BTCUSDT"

    def write(self, attempts: Sequence[GapAttempt]) -> None:
        for attempt in attempts:
            gap = attempt.pending.gap
            self.written.append((gap.first, attempt.state, attempt.reason))
            row = self._left.pop(gap)
            if attempt.state != UNREPAIRABLE:
                self._left[gap] = {**row, "reason": attempt.reason}


class ScriptedClient:
    """Client with scripted pages, the last one for ever; an empty page is a refusal."""

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
        """Do nothing: there is no connection."""


def run_filler(
    monkeypatch: pytest.MonkeyPatch,
    gaps: Sequence[FillGap],
    client: ScriptedClient,
    *,
    is_finite: bool,
    exchange: str = "binance",
) -> list[tuple[int, int, str]]:
    """Return what a gap filler writes of these gaps, in at most forty rounds."""
    table = Table(*gaps)
    monkeypatch.setattr(gap_filler, "GapTable", lambda *_: table)
    monkeypatch.setattr(gap_filler, "Client", lambda *_, **__: client)
    rounds = 0

    def pause(_: float) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 40:
            raise WorkerStopped

    timing = replace(TIMING, settle_s=0, first_retry_s=0, proof_age_s=0, confirm_s=0, tries=3)
    rest: Any = RestEndpoint(EXCHANGES[exchange].rest)
    unused: Any = None
    filler = GapFiller(
        exchange, rest, unused, Counters(), timing, unused, GapSelection(),
        is_finite=is_finite, is_only_writer=False,
    )  # fmt: skip
    outlet: Any = SimpleNamespace(pause=pause, wait=unused, put=lambda _: None)
    with suppress(WorkerStopped):
        filler.work(outlet)
    return table.written


FIRST, SECOND = FillGap("BTC/USDT", 10, 12, 0, 1), FillGap("BTC/USDT", 5_000, 5_009, 0, 1)


def test_gap_is_given_up_after_ten_full_responses_that_leave_it_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its trades arrive but cannot be stored."""
    client = ScriptedClient(range(9, 14))
    written = run_filler(monkeypatch, [FIRST], client, is_finite=False)
    assert [state for _, state, _ in written] == [REPAIRING] * 9 + [UNREPAIRABLE]
    assert client.froms == [9] * 10


def test_gap_that_rest_cannot_fill_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The REST of Kraken Futures shows no numbers, so nothing is requested."""
    client = ScriptedClient([])
    gaps = [FIRST, SECOND]
    written = run_filler(monkeypatch, gaps, client, is_finite=False, exchange="kraken_futures")
    reason = "its REST shows trades without the numbers that the websocket counts"
    assert sorted(written) == [(gap.first, UNREPAIRABLE, reason) for gap in gaps]
    assert client.froms == []


def test_finite_run_stops_after_three_refusals_in_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other gaps of the exchange are not requested."""
    client = ScriptedClient([])
    written = run_filler(monkeypatch, [FIRST, SECOND], client, is_finite=True)
    assert client.froms == [9] * 3
    assert written[-1] == (5_000, REPAIRING, "status 503")


def test_count_of_refusals_restarts_after_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here one refusal, then twice one after a response."""
    client = ScriptedClient([], [9, 10], [], [9, 10], [], range(4_999, 5_011))
    written = run_filler(monkeypatch, [FIRST, SECOND], client, is_finite=True)
    assert client.froms == [9, 9, 11, 9, 11, 4_999]
    assert written[-1] == (5_000, REPAIRING, "asked for: 10 trades came")


def test_short_gap_is_filled_between_two_pages_of_a_long_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A long gap may take hours."""
    late = FillGap("BTC/USDT", 9_000, 9_001, 0, 1)
    table, long_gap = Table(FillGap("BTC/USDT", 10, 5_000, 0, 1)), range(9, 1_009)
    client = ScriptedClient(long_gap, range(8_999, 9_003), [])

    def ask(target: str) -> Answer:
        answer = ScriptedClient.ask(client, target)
        if len(client.froms) == 1:
            table.add(late)
        return answer

    monkeypatch.setattr(client, "ask", ask)
    monkeypatch.setattr(gap_filler, "GapTable", lambda *_: table)
    monkeypatch.setattr(gap_filler, "Client", lambda *_, **__: client)
    ends: Any = SimpleNamespace(pause=Mock(side_effect=WorkerStopped), wait=None, put=Mock())
    filler = GapFiller(
        "binance", RestEndpoint(EXCHANGES["binance"].rest), cast("Any", None), Counters(),
        replace(TIMING, settle_s=0, poll_s=0), RetryPolicy(), GapSelection(),
        is_finite=False, is_only_writer=False,
    )  # fmt: skip
    with suppress(WorkerStopped):
        filler.work(ends)
    assert client.froms == [9, 8_999, 1_009]
    assert [(first, reason) for first, _, reason in table.written] == [
        (9_000, "asked for: 2 trades came"),
        (10, "status 503"),
    ]


@pytest.mark.parametrize(
    ("is_only_writer", "queries"), [(True, [1, 1, 2, 2]), (False, [1, 2, 3, 4])]
)
def test_table_is_polled_only_after_this_process_has_stored_a_gap_in_it(
    *, is_only_writer: bool, queries: list[int]
) -> None:
    """If another process may store gaps, it is polled every time."""
    counters, count, seen = Counters(), 0, list[int]()

    def query(*_: Any) -> pl.DataFrame:
        nonlocal count
        count += 1
        return pl.DataFrame()

    def pause(_: float) -> None:
        seen.append(count)
        counters.increment(len(seen) == 2, "stored", "gaps")
        if len(seen) == 4:
            raise WorkerStopped

    database: Any = SimpleNamespace(query=query)
    filler = GapFiller(
        "binance", RestEndpoint(EXCHANGES["binance"].rest), database, counters,
        TIMING, RetryPolicy(), GapSelection(),
        is_finite=False, is_only_writer=is_only_writer,
    )  # fmt: skip
    with pytest.raises(WorkerStopped):
        filler.work(cast("Any", SimpleNamespace(pause=pause, wait=lambda _: True)))
    assert seen == queries


@pytest.mark.parametrize(("is_finite", "order"), [(False, ["gap", "idle"]), (True, ["gap"])])
def test_other_requests_are_sent_after_those_for_gaps(
    monkeypatch: pytest.MonkeyPatch, *, is_finite: bool, order: list[str]
) -> None:
    """With the same client, and until the next round only; a finite run sends none."""
    order_seen: list[str] = []
    client = ScriptedClient(range(9, 14))
    monkeypatch.setattr(gap_filler, "GapTable", lambda *_: Table(FIRST))
    monkeypatch.setattr(gap_filler, "Client", lambda *_, **__: client)

    def ask(target: str) -> Answer:
        order_seen.append("gap")
        return ScriptedClient.ask(client, target)

    def idle(given: object, end: float) -> None:
        assert given is client
        assert end <= time.monotonic() + 60
        order_seen.append("idle")
        raise WorkerStopped

    monkeypatch.setattr(client, "ask", ask)
    filler = GapFiller(
        "binance", RestEndpoint(EXCHANGES["binance"].rest), cast("Any", None), Counters(),
        replace(TIMING, settle_s=0, poll_s=60, tries=1), RetryPolicy(), GapSelection(),
        is_finite=is_finite, is_only_writer=False,
        idle_work=None if is_finite else cast("Any", SimpleNamespace(run=idle)),
    )  # fmt: skip
    with suppress(WorkerStopped):
        filler.work(cast("Any", SimpleNamespace(pause=lambda _: None, wait=None, put=Mock())))
    assert order_seen == order
