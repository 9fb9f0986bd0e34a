"""Answers that are kept for readers of parts, on a clock that the tests set."""

from starlette.responses import Response

from candlewax.web.snapshots import IDLE_S, MOST_AGE_S, MOST_BYTES, Snapshots

KEY = ("/candles", "a=1", "")


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def answer(body: bytes, tag: str = '"a"') -> Response:
    return Response(body, headers={"ETag": tag})


def test_answer_is_kept_as_long_as_it_is_read() -> None:
    """It goes once nobody has read it for a while."""
    clock = SetClock()
    snapshots = Snapshots(clock)
    snapshots.keep(KEY, answer(b"rows"))
    for _ in range(3):
        clock.at += IDLE_S
        found = snapshots.find(KEY)
        assert found
        assert found.body == b"rows"
    clock.at += IDLE_S + 0.001
    assert snapshots.find(KEY) is None


def test_answer_goes_at_an_age_however_often_it_is_read() -> None:
    clock = SetClock()
    snapshots = Snapshots(clock)
    snapshots.keep(KEY, answer(b"rows"))
    end = clock.at + MOST_AGE_S
    while clock.at < end:
        assert snapshots.find(KEY)
        clock.at += IDLE_S / 2
    clock.at = end + 0.001
    assert snapshots.find(KEY) is None


def test_answer_that_was_read_the_longest_time_ago_goes_first() -> None:
    """Once all of them take more than the limit."""
    snapshots = Snapshots(SetClock())
    for name in ("a", "b"):
        snapshots.keep((name, "", ""), answer(bytes(MOST_BYTES // 2)))
    assert snapshots.find(("a", "", ""))
    snapshots.keep(("c", "", ""), answer(b"rows"))
    assert snapshots.find(("b", "", "")) is None
    assert snapshots.find(("a", "", ""))
    assert snapshots.find(("c", "", ""))
