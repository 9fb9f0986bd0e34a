"""Keeps a share of an exchange's instruments connected."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import SystemRandom
from typing import Final

from websockets.exceptions import InvalidStatus, WebSocketException

from candlewax.exchanges.protocol.websocket import WebSocketRules
from candlewax.feeds.frame_buffer import FrameRecorder, redact_url
from candlewax.feeds.websocket.connection import Connection, ConnectionTimeouts, RateLimiter

ASKED_TO_WAIT: Final = frozenset({418, 429, 503})
"""HTTP statuses whose Retry-After is heeded."""

_random = SystemRandom()


@dataclass(frozen=True)
class ExchangeRateLimits:
    """What all connections to an exchange share: when to connect and when to send."""

    connect: RateLimiter
    send: RateLimiter


class Shard:
    """Connections for the same instruments: one, and two while one replaces the other.

    The two take turns with two names, so that no number is used twice.
    """

    def __init__(
        self,
        live: WebSocketRules,
        url: str,
        natives: list[str],
        lines: tuple[FrameRecorder, FrameRecorder],
        pace: ConnectionTimeouts,
    ) -> None:
        self._live = live
        self._url = url
        self._natives = natives
        self._lines = lines
        self._pace = pace
        self._failures = 0
        self._stalled_s = live.stalled_s
        self._links: list[Connection] = []

    async def run(self, gates: ExchangeRateLimits) -> None:
        """Stay connected until cancelled, then close politely."""
        try:
            link = await self._open(gates, self._lines[0])
            while True:
                if link.ended:
                    self._adjust_timeout(link)
                    link = await self._open(gates, link.line)
                elif link.due:
                    link = await self._replace(gates, link)
                else:
                    await link.wait_for_change()
        finally:
            await asyncio.gather(*(link.close() for link in self._links))
            for line in self._lines:
                line.report_dropped(last=True)

    async def _open(self, gates: ExchangeRateLimits, line: FrameRecorder) -> Connection:
        """Connect, however often it takes."""
        longest_s = self._live.longest_s
        if longest_s is not None:
            longest_s -= _random.uniform(0, min(self._pace.jitter_s, longest_s / 2))
        wait_s = self._backoff() if self._failures else 0.0
        while True:
            await asyncio.sleep(wait_s)
            await gates.connect.wait()
            link = Connection(self._live, line, self._natives, self._pace, self._stalled_s)
            try:
                await link.open(self._url, gates.send, longest_s)
            except (OSError, WebSocketException) as error:
                asked_s = _asked(error)
                gates.connect.pause_for(asked_s)
                wait_s = self._failed(line, error, asked_s)
                continue
            self._links = [*(other for other in self._links if not other.ended), link]
            return link

    async def _replace(self, gates: ExchangeRateLimits, old: Connection) -> Connection:
        """Connect anew first, so that nothing is missed; then let the old one go."""
        first, second = self._lines
        line = second if old.line is first else first
        old.line.event("rotating", warn=False, reason=old.due, successor=line.name)
        self._failures = 0
        while True:
            link = await self._open(gates, line)
            while not (link.ready or link.ended):
                await link.wait_for_change()
            if link.ready and not link.ended:
                break
            self._adjust_timeout(link)
        await old.close()
        return link

    def _adjust_timeout(self, link: Connection) -> None:
        """What the end of a connection says about the next one."""
        lived = link.life_s >= self._pace.settled_s
        self._failures = 1 if lived else self._failures + 1
        if link.why == "stalled" and not link.moved:
            self._stalled_s = min(
                2 * self._stalled_s, max(self._pace.patience_s, self._live.stalled_s)
            )
        elif link.moved:
            self._stalled_s = self._live.stalled_s

    def _backoff(self) -> float:
        most = min(self._pace.most_s, self._pace.first_s * 2 ** min(self._failures - 1, 16))
        return _random.uniform(0, most)

    def _failed(self, line: FrameRecorder, error: Exception, asked_s: float) -> float:
        """Say why a connection did not come about; gives the seconds to wait."""
        self._failures += 1
        wait_s = max(self._backoff(), asked_s)
        line.event(
            "failed",
            url=redact_url(self._url),
            reason=str(error) or type(error).__name__,
            retry_s=round(wait_s, 3),
        )
        return wait_s


def _asked(error: Exception) -> float:
    """The seconds that the exchange asks to wait."""
    if not isinstance(error, InvalidStatus) or error.response.status_code not in ASKED_TO_WAIT:
        return 0.0
    text = error.response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (until - datetime.now(UTC)).total_seconds()) if until.tzinfo else 0.0
