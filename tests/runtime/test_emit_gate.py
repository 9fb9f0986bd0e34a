"""Turns of sources."""

from datetime import UTC, datetime, timedelta

import pytest

from candlewax.runtime.emit_gate import ALWAYS, EmitGate, PollTimer, SourceActivity


class Waiting:
    """Whether what was handed on waits, as the test says."""

    def __init__(self) -> None:
        self.behind = False
        self.turns = EmitGate()
        self.turns.add_backpressure(lambda: False)
        self.turns.add_backpressure(lambda: self.behind)


def test_no_turn_begins_while_what_was_handed_on_waits() -> None:
    """And all have theirs again once it does not."""
    waiting = Waiting()
    one, other = waiting.turns.for_partition(), waiting.turns.for_partition()
    assert one()
    assert other()
    waiting.behind = True
    assert not one()
    assert not other()
    waiting.behind = False
    assert one()
    assert other()


def test_nobody_waits_for_others() -> None:
    """As long as nothing waits, each may hand on as often as it likes."""
    part = Waiting().turns.for_partition()
    assert [part() for _ in range(3)] == [True] * 3


def test_who_missed_a_turn_may_join_it() -> None:
    """Once: what it hands on is stored with what the others handed on before."""
    waiting = Waiting()
    one, late = waiting.turns.for_partition(), waiting.turns.for_partition()
    waiting.behind = True
    assert not one()
    assert not late()
    waiting.behind = False
    assert one()
    waiting.behind = True
    assert late()
    assert not late()
    assert not one()


def test_who_comes_while_others_wait_waits_too() -> None:
    """A part that begins had no turn to miss."""
    waiting = Waiting()
    waiting.behind = True
    assert not waiting.turns.for_partition()()


class Time:
    """A clock that only rests move."""

    def __init__(self) -> None:
        self.now = 100.0
        self.rests: list[float] = []

    def __call__(self) -> float:
        return self.now

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds


def looks(time: Time, pulse: SourceActivity | None = None) -> PollTimer:
    """When a part looks, by that clock."""
    return PollTimer(pulse or SourceActivity(time), time, time.rest)


@pytest.mark.parametrize("late_s", [0, 0.0003, 0.0011, 0.00199])
def test_parts_that_wait_as_long_look_again_together(late_s: float) -> None:
    """Whenever they began to wait, never earlier than they wanted, nor much later."""
    time = Time()
    one, other = looks(time), looks(time)
    one.schedule(timedelta(milliseconds=20))
    time.now += late_s
    other.schedule(timedelta(milliseconds=20))
    while not one.is_due():
        pass
    assert other.is_due()
    assert 100.02 + late_s <= time.now <= 100.02 + 0.002 + 1e-6


def test_part_that_comes_early_rests_a_little_at_a_time() -> None:
    """So that what others wait for is not held up."""
    time = Time()
    part = looks(time)
    part.schedule(timedelta(milliseconds=20))
    while not part.is_due():
        pass
    assert max(time.rests) <= 0.005
    assert sum(time.rests) == pytest.approx(time.now - 100)
    part.schedule(None)
    before = len(time.rests)
    assert part.is_due()
    assert len(time.rests) == before


def test_no_part_rests_while_something_is_to_be_dealt_with() -> None:
    """What was just handed on goes first."""
    time = Time()
    pulse = SourceActivity(time)
    one, other = looks(time, pulse), looks(time, pulse)
    other.schedule(timedelta(seconds=1))
    one.mark_emitted()
    assert not other.is_due()
    assert time.rests == []
    time.now += 0.0021
    assert not other.is_due()
    assert time.rests == [0.005]


def test_sources_that_do_not_look_are_told() -> None:
    """With how long it has been, once it is too long."""
    time = Time()
    pulse = SourceActivity(time)
    part = looks(time, pulse)
    time.now += 60
    assert pulse.problem(60) is None
    time.now += 1
    assert pulse.problem(60) == "no source has read for 61 s, the limit is 60 s"
    assert part.is_due()
    assert pulse.problem(60) is None


def test_parts_ask_to_be_woken_at_a_moment_that_has_passed_by_any_clock() -> None:
    """Whatever the machine's clock is set to, the engine asks them."""
    assert datetime(1970, 1, 1, tzinfo=UTC) == ALWAYS
