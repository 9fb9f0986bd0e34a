"""Turns of sources."""

from datetime import UTC, datetime, timedelta

from candlewax.turns import STEP, Turns, next_look


class Waiting:
    """Whether what was handed on waits, as the test says."""

    def __init__(self) -> None:
        self.behind = False
        self.turns = Turns()
        self.turns.heed(lambda: False)
        self.turns.heed(lambda: self.behind)


def test_no_turn_begins_while_what_was_handed_on_waits() -> None:
    """And all have theirs again once it does not."""
    waiting = Waiting()
    one, other = waiting.turns.part(), waiting.turns.part()
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
    part = Waiting().turns.part()
    assert [part() for _ in range(3)] == [True] * 3


def test_who_missed_a_turn_may_join_it() -> None:
    """Once: what it hands on is stored with what the others handed on before."""
    waiting = Waiting()
    one, late = waiting.turns.part(), waiting.turns.part()
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
    assert not waiting.turns.part()()


def test_all_look_again_at_the_same_moments() -> None:
    """Whenever they began to wait, never earlier than they wanted, nor much later."""
    begin, wait = datetime(2026, 1, 1, tzinfo=UTC), timedelta(milliseconds=20)
    looks = [next_look(wait, begin + n * STEP / 10) for n in range(11)]
    assert looks == [begin + wait + STEP] * 10 + [begin + wait + 2 * STEP]
