"""When partitions of sources poll, and how they wait for input."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from candlewax.runtime.poll_timer import (
    ALWAYS,
    MAX_IDLE_S,
    RETRY,
    PollGroup,
    PollTimer,
    SourceActivity,
    worker_group,
)

MS = timedelta(milliseconds=1)


class Clock(PollGroup):
    """A group whose time only passes while it waits."""

    def __init__(self) -> None:
        self.time = 100.0
        self.waits: list[float] = []
        super().__init__(SourceActivity(lambda: self.time), lambda: self.time)

    def wait(self, seconds: float) -> None:
        """Let the time pass."""
        self.waits.append(seconds)
        self.time += seconds


class Partition:
    """A partition that emits each item put into it."""

    def __init__(self, group: PollGroup, wait: timedelta | None = 10 * MS) -> None:
        self.items: list[int] = []
        self.emitted: list[int] = []
        self._wait = wait
        self.timer = PollTimer(group, lambda: bool(self.items))

    def poll(self) -> bool:
        """Poll as the engine does; return True if the partition looked for items."""
        if not self.timer.is_due():
            return False
        if self.items:
            self.timer.mark_emitted()
            self.emitted += self.items
            self.items = []
        self.timer.schedule(self._wait)
        return True


def poll_until(ready: Callable[[], bool], *partitions: Partition) -> None:
    """Poll partitions in turn, as a worker of the engine does."""
    for _ in range(1_000):
        for partition in partitions:
            partition.poll()
            if ready():
                return
    raise AssertionError("not ready")


def test_first_item_after_a_pause_is_emitted_at_once() -> None:
    clock = Clock()
    partition = Partition(clock)
    partition.items.append(1)
    assert partition.poll()
    clock.time += 1
    partition.items.append(2)
    assert partition.poll()
    assert clock.waits == []


def test_item_soon_after_an_emission_waits_for_the_rest_of_the_pause() -> None:
    clock = Clock()
    partition = Partition(clock)
    partition.items.append(1)
    partition.poll()
    clock.time += 0.004
    partition.items.append(2)
    poll_until(lambda: len(partition.emitted) == 2, partition)
    assert clock.time == pytest.approx(100.010)
    assert clock.waits == [pytest.approx(0.006)]


def test_partition_without_a_pause_emits_again_at_once() -> None:
    clock = Clock()
    partition = Partition(clock, wait=None)
    for item in range(3):
        partition.items.append(item)
        assert partition.poll()
    assert clock.waits == []


@pytest.mark.parametrize(("late_s", "joins"), [(0.0019, True), (0.0021, False)])
def test_partition_joins_a_round_only_at_its_beginning(late_s: float, joins: bool) -> None:
    """Later items wait for the next round, so that a worker emits in few rounds."""
    clock = Clock()
    first, second = Partition(clock), Partition(clock)
    second.items.append(0)
    second.poll()
    clock.time += 1
    first.items.append(1)
    first.poll()
    clock.time += late_s
    second.items.append(2)
    assert second.poll() == joins
    poll_until(lambda: second.emitted == [0, 2], first, second)
    assert clock.time == pytest.approx(101 + late_s if joins else 101.010)


def test_partitions_of_one_round_are_due_together_in_the_next_one() -> None:
    clock = Clock()
    first, second = Partition(clock), Partition(clock)
    first.items.append(1)
    second.items.append(2)
    first.poll()
    clock.time += 0.0015
    second.poll()
    assert [first.timer.remaining_s, second.timer.remaining_s] == [pytest.approx(0.0085)] * 2


def test_no_partition_waits_in_the_two_polls_after_an_emission() -> None:
    """The engine passes on what was emitted in between."""
    clock = Clock()
    first, second = Partition(clock), Partition(clock)
    first.items.append(1)
    first.poll()
    assert not any([second.poll(), first.poll(), second.poll(), first.poll()])
    assert clock.waits == []
    second.poll()
    assert clock.waits == [MAX_IDLE_S]


def test_worker_without_input_waits_as_long_as_steps_and_signals_allow() -> None:
    clock = Clock()
    assert not Partition(clock).poll()
    assert clock.waits == [MAX_IDLE_S]
    clock.activity.max_idle_s = 0.005
    assert not Partition(clock).poll()
    assert clock.waits == [MAX_IDLE_S, 0.005]


def test_wait_of_one_partition_ends_when_another_one_is_due() -> None:
    clock = Clock()
    idle, busy = Partition(clock), Partition(clock)
    busy.timer.schedule(10 * MS)
    busy.items.append(1)
    assert not idle.poll()
    assert clock.waits == [pytest.approx(0.010)]
    assert busy.poll()


def test_wait_ends_when_input_arrives() -> None:
    """Also if it arrives between the look at the partitions and the wait."""
    group = PollGroup(SourceActivity())
    group.activity.max_idle_s = 600
    partition = Partition(group)

    def put() -> None:
        partition.items.append(1)
        group.wake()

    thread = threading.Thread(target=put)
    thread.start()
    while not partition.poll():
        pass
    thread.join()
    assert partition.emitted == [1]


def test_input_that_arrives_during_the_look_ends_the_wait() -> None:
    group = PollGroup(SourceActivity())
    group.activity.max_idle_s = 600
    looked = []

    def has_input() -> bool:
        looked.append(True)
        if len(looked) == 2:
            group.wake()
        return len(looked) > 2

    assert PollTimer(group, has_input).is_due()


def test_input_that_cannot_wake_is_awaited_by_its_own_means() -> None:
    clock = Clock()
    items: list[int] = []

    def await_input(seconds: float) -> None:
        assert seconds == MAX_IDLE_S
        items.append(1)

    assert PollTimer(clock, lambda: bool(items), await_input).is_due()
    assert clock.waits == []


def test_pause_is_not_cut_short_by_more_input() -> None:
    """Although the partition could await more."""
    clock = Clock()
    timer = PollTimer(clock, lambda: True, lambda _: pytest.fail("there is input"))
    timer.schedule(RETRY)
    assert timer.is_due()
    assert clock.waits == [pytest.approx(0.002)]


def test_closed_partition_is_not_waited_for() -> None:
    clock = Clock()
    ended, idle = Partition(clock), Partition(clock)
    ended.items.append(1)
    ended.timer.close()
    assert not idle.poll()
    assert clock.waits == [MAX_IDLE_S]


def test_others_wait_only_a_moment_while_the_engine_holds_a_partition_with_input() -> None:
    """It holds one that is an epoch ahead, until these have ended theirs; nor do they spin."""
    clock = Clock()
    held, idle = Partition(clock), Partition(clock)
    held.items.append(1)
    polls = 0
    while len(clock.waits) < 3:
        idle.poll()
        polls += 1
    assert clock.waits == [pytest.approx(0.001)] * 3
    assert polls < 30
    assert held.poll()


def test_all_partitions_of_a_worker_wait_once_in_a_round() -> None:
    """Each by itself would hold up epochs and timers as many times as long."""
    clock = Clock()
    partitions = [Partition(clock) for _ in range(5)]
    for _ in range(3):
        for partition in partitions:
            assert not partition.poll()
    assert clock.waits == [MAX_IDLE_S] * 3


def test_each_worker_has_a_group_of_its_own() -> None:
    groups = [worker_group(), worker_group()]
    thread = threading.Thread(target=lambda: groups.append(worker_group()))
    thread.start()
    thread.join()
    assert groups[0] is groups[1]
    assert groups[2] is not groups[0]


def test_sources_that_do_not_poll_are_a_problem_after_the_limit() -> None:
    clock = Clock()
    activity = clock.activity
    timer = PollTimer(clock)
    clock.time += 60
    assert activity.problem(60) is None
    clock.time += 1
    assert activity.problem(60) == "no source has read for 61 s, the limit is 60 s"
    assert timer.is_due()
    assert activity.problem(60) is None


def test_wake_up_time_of_partitions_is_past_by_any_clock() -> None:
    """The engine polls them whatever the machine's clock is set to."""
    assert datetime(1970, 1, 1, tzinfo=UTC) == ALWAYS
