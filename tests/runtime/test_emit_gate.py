"""Backpressure: which sources may emit while the writer is backlogged."""

from candlewax.runtime.emit_gate import EmitGate


class Writer:
    """A writer that is backlogged when the test says so, and the gate before it."""

    def __init__(self) -> None:
        self.is_backlogged = False
        self.gate = EmitGate()
        self.gate.add_backpressure(lambda: False)
        self.gate.add_backpressure(lambda: self.is_backlogged)


def test_partition_that_has_emitted_is_held_until_the_backlog_ends() -> None:
    writer = Writer()
    first, second = writer.gate.for_partition(), writer.gate.for_partition()
    assert first()
    assert second()
    writer.is_backlogged = True
    assert not first()
    assert not second()
    writer.is_backlogged = False
    assert first()
    assert second()


def test_partition_emits_as_often_as_it_likes_without_a_backlog() -> None:
    may_emit = Writer().gate.for_partition()
    assert [may_emit() for _ in range(3)] == [True] * 3


def test_partition_that_missed_its_turn_emits_once_during_the_backlog() -> None:
    """What it emits is stored with what the others emitted before."""
    writer = Writer()
    first, late = writer.gate.for_partition(), writer.gate.for_partition()
    writer.is_backlogged = True
    assert not first()
    assert not late()
    writer.is_backlogged = False
    assert first()
    writer.is_backlogged = True
    assert late()
    assert not late()
    assert not first()


def test_partition_that_begins_during_the_backlog_is_held() -> None:
    writer = Writer()
    writer.is_backlogged = True
    assert not writer.gate.for_partition()()
