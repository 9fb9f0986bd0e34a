"""Asking an exchange by REST: one request at a time, no faster than it allows."""

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from candlewax.core.kind_marks import SIMULATOR_HEADER, refuse_exchange
from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.rest import Page, RestError, RestErrorKind, RestRules
from candlewax.feeds.frame_buffer import redact_url
from candlewax.feeds.rest.worker import WorkerStopped

MOST_BYTES: Final = 8 << 20
"""Of an answer; a full page has about a thirtieth of it."""

_CHUNK: Final = 1 << 16

_AGENT: Final = {"User-Agent": "candlewax", "Accept": "application/json"}

_MOST_RETRY_S: Final = 3 * 86_400.0
"""The longest an exchange may tell to wait: Binance bans for up to three days."""

_log = logging.getLogger(__name__)


class RefusalError(Exception):
    """An exchange gave no trades. `never` tells that it will give none for this market,
    however often it is asked.
    """

    def __init__(self, reason: str, *, never: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_permanent = never


@dataclass(frozen=True)
class RetryPolicy:
    """Seconds: between the tries of one who fails, doubled from `first_s` to `most_s`; for
    a connection to be made, and for an answer to be read.
    """

    first_s: float = 1.0
    most_s: float = 300.0
    connect_s: float = 10.0
    answer_s: float = 30.0


@dataclass(frozen=True)
class Answer:
    """An answer as it came, and what it holds."""

    text: str
    received_ns: int
    page: Page


class Client:
    """Asks one exchange; used by one thread.

    A bucket of requests keeps to what the exchange allows. When it says that there were
    too many, or fails, the next request waits: as long as the exchange told (Retry-After),
    else twice as long each time, by a random part less. Redirects are refused, answers
    bounded. A key is shown to the exchange and nobody else.

    `wait` waits for some seconds and tells whether to go on. `is_simulated` tells whether it must
    be the simulator that answers; None if that is open.
    """

    def __init__(
        self,
        rest: RestRules,
        url: str | None = None,
        key: str | None = None,
        *,
        is_simulated: bool | None = None,
        wait: Callable[[float], bool] | None = None,
        now: Callable[[], float] = time.monotonic,
        patience: RetryPolicy | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._rest = rest
        self._url = (url or rest.url).rstrip("/")
        self._headers = dict(_AGENT)
        if key and rest.key_header:
            self._headers[rest.key_header] = key
        self._is_simulated = is_simulated
        self._wait = wait or _sleep
        self._now = now
        self._patience = patience or RetryPolicy()
        self._chance = chance or random.Random()  # noqa: S311 - no secret depends on it
        self._pool = urllib3.PoolManager(maxsize=1, retries=False)
        self._tokens = float(rest.burst)
        self._filled = now()
        self._open_at = now()
        self._failures = 0

    def __str__(self) -> str:
        return redact_url(self._url)

    def ask(self, target: str) -> Answer:
        """The answer to a request for trades, once it may be sent.

        Raises RefusalError if the exchange gives none, WrongKindError if who answers is the
        simulator and must not be or the other way round, and WorkerStopped.
        """
        self._wait_for_slot()
        status, headers, body = self._get(target)
        received_ns = time.time_ns()
        simulated = SIMULATOR_HEADER in headers
        if simulated and self._is_simulated is False:
            raise refuse_exchange(str(self), is_simulated=True)
        content, text = _decoded(body)
        complaint = self._rest.complaint(status, content)
        if complaint:
            raise self._refuse(complaint, headers)
        try:
            page = self._rest.read(content)
        except FrameError as error:
            raise self._fail(f"an answer that is none: {error.detail}") from error
        if self._is_simulated and not simulated:
            # Only here: what stands before the simulator may refuse in its own name.
            raise refuse_exchange(str(self), is_simulated=False)
        self._failures = 0
        self._apply_rate_headers(headers)
        return Answer(text, received_ns, page)

    def close(self) -> None:
        """Let go of the connection."""
        self._pool.clear()

    def _wait_for_slot(self) -> None:
        while (pause := self._pause()) > 0:
            if not self._wait(pause):
                raise WorkerStopped
        self._tokens -= 1

    def _pause(self) -> float:
        """Seconds until a request may be sent."""
        now = self._now()
        self._tokens += (now - self._filled) * self._rest.requests_s
        self._tokens = min(self._tokens, float(self._rest.burst))
        self._filled = now
        lacking = max(0.0, 1 - self._tokens) / self._rest.requests_s
        return max(self._open_at - now, lacking)

    def _get(self, target: str) -> tuple[int, Mapping[str, str], bytes]:
        timeout = urllib3.Timeout(connect=self._patience.connect_s, read=self._patience.answer_s)
        try:
            with _released(
                self._pool.request(
                    "GET",
                    self._url + target,
                    headers=self._headers,
                    timeout=timeout,
                    redirect=False,
                    preload_content=False,
                )
            ) as response:
                return response.status, response.headers, self._body(response)
        except (HTTPError, OSError) as error:
            # What the library says may hold the address, which is known.
            reason = f"no answer from {self}: {type(error).__name__}"
            raise self._fail(reason) from error

    def _body(self, response: BaseHTTPResponse) -> bytes:
        end = self._now() + self._patience.answer_s
        parts, size = [], 0
        for part in response.stream(_CHUNK, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise self._fail(f"an answer of more than {MOST_BYTES:,} bytes from {self}")
            if self._now() > end:
                raise self._fail(f"an answer that does not end from {self}")
        return b"".join(parts)

    def _refuse(self, complaint: RestError, headers: Mapping[str, str]) -> RefusalError:
        if complaint.verdict is RestErrorKind.NEVER:
            self._failures = 0
            return RefusalError(complaint.reason, never=True)
        told = _retry_after(headers) if complaint.verdict is RestErrorKind.SLOWER else None
        return self._fail(complaint.reason, told)

    def _fail(self, reason: str, told: float | None = None) -> RefusalError:
        """Be slower; gives the refusal to raise."""
        most = min(self._patience.first_s * 2**self._failures, self._patience.most_s)
        self._failures = min(self._failures + 1, 30)
        pause = max(most * (0.5 + self._chance.random() / 2), told or 0.0)
        self._open_at = self._now() + pause
        _log.warning("%s: %s; the next request waits %.1f s", self, reason, pause)
        return RefusalError(reason)

    def _apply_rate_headers(self, headers: Mapping[str, str]) -> None:
        """Wait for the next minute when most of what it allows is spent."""
        if self._rest.used is None:
            return
        name, most = self._rest.used
        spent = headers.get(name, "")
        if spent.isascii() and spent.isdigit() and int(spent) > most:
            self._open_at = max(self._open_at, self._now() + 60 - time.time() % 60)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return True


@contextmanager
def _released(response: BaseHTTPResponse) -> Iterator[BaseHTTPResponse]:
    """The response; its connection is closed unless all of it was read."""
    try:
        yield response
    except BaseException:
        response.close()
        raise
    finally:
        response.release_conn()


def _decoded(body: bytes) -> tuple[Any, str]:
    """The JSON of an answer, None if it is none, and its text."""
    try:
        text = body.decode()
        return parse(text), text
    except (UnicodeDecodeError, FrameError):
        return None, ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that an exchange told to wait."""
    text = headers.get("Retry-After", "").strip()
    if not text.isascii() or not text.isdigit():
        return None
    return min(float(text), _MOST_RETRY_S)
