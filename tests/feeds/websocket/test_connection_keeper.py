"""The keeper of a connection: its backoff and its stall limit."""

from types import SimpleNamespace
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from candlewax.feeds.frame_buffer import FrameQueue, FrameRecorder, MemoryBudget
from candlewax.feeds.websocket import connection_keeper as module
from candlewax.feeds.websocket.connection_keeper import ConnectionKeeper
from candlewax.feeds.websocket.pacing import ConnectionTimeouts
from candlewax.runtime.counters import Counters
from tests.support.exchange_server import quick

TIMEOUTS = ConnectionTimeouts(first_backoff_s=1, max_backoff_s=60, settled_s=60, max_stalled_s=900)


class OfflineKeeper(ConnectionKeeper):
    """A keeper of Kraken's markets without a connection and without jitter."""

    def __init__(self) -> None:
        self.line = FrameRecorder("kraken", "k", FrameQueue(), MemoryBudget(10**6), Counters())
        rules = quick("kraken", stalled_after_s=60.0)["kraken"]
        super().__init__(rules, "ws://127.0.0.1:1", ["BTC/USD"], (self.line, self.line), TIMEOUTS)

    def fail(self, error: Exception) -> float:
        """Return the pause after a failure."""
        return self._record_failure(self.line, error, module._retry_after_s(error))  # noqa: SLF001 - as it does itself

    def end(self, reason: str, *, has_trades: bool) -> float:
        """Return the stall limit after a connection that ended."""
        connection: Any = SimpleNamespace(close_reason=reason, has_trades=has_trades, life_s=1.0)
        self._adjust_timeout(connection)
        return self._stalled_s


def rejected(status: int, retry_after: str) -> InvalidStatus:
    """A response with Retry-After."""
    return InvalidStatus(Response(status, "no", Headers({"Retry-After": retry_after})))


@pytest.mark.parametrize(
    ("error", "last_pause"),
    [(OSError("gone"), 8), (rejected(429, "1"), 8), (rejected(429, "30"), 30),
     (rejected(500, "30"), 8), (rejected(418, "0"), 8)],
    ids=["no answer", "asked for less", "asked for more", "asked by others", "asked for nothing"],
)  # fmt: skip
def test_backoff_doubles_and_is_at_least_retry_after(
    monkeypatch: pytest.MonkeyPatch, error: Exception, last_pause: float
) -> None:
    """Three failures come first. Retry-After counts only with 418 and 429."""
    keeper = OfflineKeeper()
    monkeypatch.setattr(
        "candlewax.feeds.websocket.connection_keeper._random.uniform", lambda _, high: high
    )
    pauses = [keeper.fail(failure) for failure in (*[OSError("gone")] * 3, error)]
    assert pauses == [1, 2, 4, last_pause]


@pytest.mark.parametrize(
    ("ends", "limits"),
    [
        ([("stalled", False)], [120]),
        ([("stalled", False)] * 5, [120, 240, 480, 900, 900]),
        ([("stalled", False), ("stalled", True)], [120, 60]),
        ([("stalled", False), ("", True)], [120, 60]),
        ([("stalled", False), ("", False), ("silent", False)], [120, 120, 120]),
    ],
    ids=["stalled", "again and again", "after trades", "trades", "ended otherwise"],
)
def test_stall_limit_grows_only_after_stalls_without_trades(
    ends: list[tuple[str, bool]], limits: list[float]
) -> None:
    """A market with trades before the stall is no quiet one."""
    keeper = OfflineKeeper()
    assert [keeper.end(reason, has_trades=has_trades) for reason, has_trades in ends] == limits
