"""Keeper of the connection to a share of an exchange's markets."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import SystemRandom
from typing import Final

from websockets.exceptions import InvalidStatus, WebSocketException

from candlewax.exchanges.protocol.websocket import WebSocketRules
from candlewax.feeds.frame_buffer import FrameRecorder, redact_url
from candlewax.feeds.websocket.connection import Connection
from candlewax.feeds.websocket.pacing import ConnectionTimeouts, RateLimiter

RETRY_AFTER_STATUSES: Final = frozenset({418, 429, 503})
"""HTTP statuses whose Retry-After header is respected."""

_OTHER_MARKETS: Final = "its markets have changed"
"""Reason for which a connection is replaced after a change of the instruments file."""

_random = SystemRandom()


@dataclass(frozen=True)
class ExchangeRateLimits:
    """Rate limits shared by all connections to an exchange: to connect, and to send."""

    connect: RateLimiter
    send: RateLimiter


class ConnectionKeeper:
    """Keeper of the connection of one share of markets.

    There are two connections while one replaces the other. Two recorders take turns, so that no
    frame number is used twice.
    """

    def __init__(
        self,
        rules: WebSocketRules,
        url: str,
        native_symbols: list[str],
        recorders: tuple[FrameRecorder, FrameRecorder],
        timeouts: ConnectionTimeouts,
    ) -> None:
        self._rules = rules
        self._url = url
        self._native_symbols = native_symbols
        self._recorders = recorders
        self._timeouts = timeouts
        self._failures = 0
        self._stalled_s = rules.stalled_after_s
        self._connections: list[Connection] = []

    def change(self, native_symbols: list[str]) -> None:
        """Keep other markets connected from now on; call it in the thread of `run`.

        The connection is replaced by one to the new markets, so no frame of a market that stays is
        missed. Without any markets, end `run` by cancelling it.
        """
        recorder = self._connections[-1].recorder if self._connections else self._recorders[0]
        before, self._native_symbols = self._native_symbols, native_symbols
        for kind, first, second in (
            ("added", native_symbols, before),
            ("dropped", before, native_symbols),
        ):
            if names := [symbol for symbol in first if symbol not in set(second)]:
                recorder.record_event(kind, warn=False, instruments=names)
        for connection in self._connections:
            connection.replace(_OTHER_MARKETS)

    async def run(self, limits: ExchangeRateLimits) -> None:
        """Keep the markets connected until cancelled, then close its connections."""
        try:
            connection = await self._open(limits, self._recorders[0])
            while True:
                if connection.ended:
                    self._adjust_timeout(connection)
                    connection = await self._open(limits, connection.recorder)
                elif connection.replace_reason:
                    connection = await self._replace(limits, connection)
                else:
                    await connection.wait_for_change()
        finally:
            await asyncio.gather(*(connection.close() for connection in self._connections))
            for recorder in self._recorders:
                recorder.report_dropped(is_last=True)

    async def _open(self, limits: ExchangeRateLimits, recorder: FrameRecorder) -> Connection:
        """Return an open connection; retry with backoff until there is one."""
        longest_s = self._rules.max_age_s
        if longest_s is not None:
            longest_s -= _random.uniform(0, min(self._timeouts.jitter_s, longest_s / 2))
        wait_s = self._backoff() if self._failures else 0.0
        while True:
            await asyncio.sleep(wait_s)
            await limits.connect.wait()
            connection = Connection(
                self._rules, recorder, self._native_symbols, self._timeouts, self._stalled_s
            )
            try:
                await connection.open(self._url, limits.send, longest_s)
            except (OSError, WebSocketException) as error:
                retry_after_s = _retry_after_s(error)
                limits.connect.pause_for(retry_after_s)
                wait_s = self._record_failure(recorder, error, retry_after_s)
                continue
            self._connections = [
                *(other for other in self._connections if not other.ended),
                connection,
            ]
            if connection.native_symbols is not self._native_symbols:
                # They changed while it was opened.
                connection.replace(_OTHER_MARKETS)
            return connection

    async def _replace(self, limits: ExchangeRateLimits, old: Connection) -> Connection:
        """Return a new, subscribed connection.

        The old one is closed only then, so that no trade is missed.
        """
        first, second = self._recorders
        recorder = second if old.recorder is first else first
        old.recorder.record_event(
            "rotating", warn=False, reason=old.replace_reason, successor=recorder.name
        )
        self._failures = 0
        while True:
            connection = await self._open(limits, recorder)
            while not (connection.is_ready or connection.ended):
                await connection.wait_for_change()
            if connection.is_ready and not connection.ended:
                break
            self._adjust_timeout(connection)
        await old.close()
        return connection

    def _adjust_timeout(self, connection: Connection) -> None:
        """Set the backoff and the stall timeout of the next connection from the end of this one.

        The stall timeout doubles if the market brought no trade; one trade resets it.
        """
        was_settled = connection.life_s >= self._timeouts.settled_s
        self._failures = 1 if was_settled else self._failures + 1
        if connection.close_reason == "stalled" and not connection.has_trades:
            self._stalled_s = min(
                2 * self._stalled_s, max(self._timeouts.max_stalled_s, self._rules.stalled_after_s)
            )
        elif connection.has_trades:
            self._stalled_s = self._rules.stalled_after_s

    def _backoff(self) -> float:
        bound_s = min(
            self._timeouts.max_backoff_s,
            self._timeouts.first_backoff_s * 2 ** min(self._failures - 1, 16),
        )
        return _random.uniform(0, bound_s)

    def _record_failure(
        self, recorder: FrameRecorder, error: Exception, retry_after_s: float
    ) -> float:
        """Record a failed attempt to connect. Return the seconds to wait."""
        self._failures += 1
        wait_s = max(self._backoff(), retry_after_s)
        recorder.record_event(
            "failed",
            url=redact_url(self._url),
            reason=str(error) or type(error).__name__,
            retry_s=round(wait_s, 3),
        )
        return wait_s


def _retry_after_s(error: Exception) -> float:
    """Return the seconds that the exchange asks to wait by Retry-After, 0 if none."""
    if (
        not isinstance(error, InvalidStatus)
        or error.response.status_code not in RETRY_AFTER_STATUSES
    ):
        return 0.0
    text = error.response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (until - datetime.now(UTC)).total_seconds()) if until.tzinfo else 0.0
