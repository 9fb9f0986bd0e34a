"""A share of an exchange's markets: how long it waits, and for how long it is patient."""

from types import SimpleNamespace
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from candlewax.feeds.frame_buffer import FrameQueue, FrameRecorder, MemoryBudget
from candlewax.feeds.websocket import shard as module
from candlewax.feeds.websocket.connection import ConnectionTimeouts
from candlewax.feeds.websocket.shard import Shard
from candlewax.runtime.counters import Counters
from tests.support.exchange_server import quick

PACE = ConnectionTimeouts(first_backoff_s=1, max_backoff_s=60, settled_s=60, max_stalled_s=900)


class Share(Shard):
    """A share of Kraken's markets that is not connected; chance never shortens a pause."""

    def __init__(self) -> None:
        self.line = FrameRecorder("kraken", "k", FrameQueue(), MemoryBudget(10**6), Counters())
        rules = quick("kraken", stalled_after_s=60.0)["kraken"]
        super().__init__(rules, "ws://127.0.0.1:1", ["BTC/USD"], (self.line, self.line), PACE)

    def fail(self, error: Exception) -> float:
        """Tell how long it waits after a failure."""
        return self._record_failure(self.line, error, module._retry_after_s(error))  # noqa: SLF001 - as it does itself

    def end(self, why: str, *, moved: bool) -> float:
        """Tell how long the next connection may bring nothing after one that ended."""
        link: Any = SimpleNamespace(close_reason=why, has_trades=moved, life_s=1.0)
        self._adjust_timeout(link)
        return self._stalled_s


def refused(status: int, told: str) -> InvalidStatus:
    """An answer that tells to wait."""
    return InvalidStatus(Response(status, "no", Headers({"Retry-After": told})))


@pytest.mark.parametrize(
    ("error", "last"),
    [(OSError("gone"), 8), (refused(429, "1"), 8), (refused(429, "30"), 30),
     (refused(500, "30"), 8), (refused(418, "0"), 8)],
    ids=["no answer", "asked for less", "asked for more", "asked by others", "asked for nothing"],
)  # fmt: skip
def test_pause_before_connecting_again_grows_and_is_no_shorter_than_asked(
    monkeypatch: pytest.MonkeyPatch, error: Exception, last: float
) -> None:
    """Three failures, then this one: twice as long each time, at most."""
    share = Share()
    monkeypatch.setattr("candlewax.feeds.websocket.shard._random.uniform", lambda _, high: high)
    waits = [share.fail(one) for one in (*[OSError("gone")] * 3, error)]
    assert waits == [1, 2, 4, last]


@pytest.mark.parametrize(
    ("ends", "patience"),
    [
        ([("stalled", False)], [120]),
        ([("stalled", False)] * 5, [120, 240, 480, 900, 900]),
        ([("stalled", False), ("stalled", True)], [120, 60]),
        ([("stalled", False), ("", True)], [120, 60]),
        ([("stalled", False), ("", False), ("silent", False)], [120, 120, 120]),
    ],
    ids=["stalled", "again and again", "after trades", "trades", "ended otherwise"],
)
def test_patience_grows_only_where_nothing_moved(
    ends: list[tuple[str, bool]], patience: list[float]
) -> None:
    """A market that brought trades before it stalled is no quiet one."""
    share = Share()
    assert [share.end(why, moved=moved) for why, moved in ends] == patience
