"""REST client of an exchange: one request at a time, within its rate limit."""

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from candlewax.core.kind_marks import SIMULATOR_HEADER, wrong_exchange_error
from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.rest import Page, RestError, RestErrorKind, RestRules
from candlewax.exchanges.protocol.venue_candles import CandleRules, VenueCandle
from candlewax.feeds.frame_buffer import redact_url
from candlewax.feeds.rest.worker import WorkerStopped

MAX_BYTES: Final = 8 << 20
"""Largest response in bytes; a full page has about a thirtieth of it."""

_CHUNK: Final = 1 << 16

_AGENT: Final = {"User-Agent": "candlewax", "Accept": "application/json"}

_MAX_RETRY_AFTER_S: Final = 3 * 86_400.0
"""Longest accepted Retry-After: Binance bans for up to three days."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


class RefusalError(Exception):
    """Error for a request that returned no trades.

    `is_permanent` means that the exchange never serves this market, so a retry is useless.
    """

    def __init__(self, reason: str, *, is_permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_permanent = is_permanent


class TooLargeError(RefusalError):
    """Error for a response that is larger than allowed.

    The same request would get as much again, or more.
    """


@dataclass(frozen=True)
class RetryPolicy:
    """Backoff and timeouts of requests, in seconds.

    The backoff doubles from `first_backoff_s` to `max_backoff_s`. `connect_s` is the timeout of a
    connection, `answer_s` that of a response.
    """

    first_backoff_s: float = 1.0
    max_backoff_s: float = 300.0
    connect_s: float = 10.0
    answer_s: float = 30.0


@dataclass(frozen=True)
class Answer:
    """REST response: its text verbatim, and the page read from it."""

    text: str
    received_ns: int
    page: Page


class Client:
    """REST client of one exchange, for use by one thread.

    A token bucket keeps the rate limit. After a failure or a rate limit error the next request
    waits for the backoff, which doubles each time and is up to half shorter at random, and at
    least as long as Retry-After says. Redirects are refused, and responses are bounded. The key
    is sent to the exchange only.

    `wait` waits some seconds and returns False to end. If `is_simulated` is not None, responses
    must come from the simulator (True) or from the exchange (False).
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
        retry_policy: RetryPolicy | None = None,
        random_numbers: random.Random | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._rest = rest
        self._url = (url or rest.url).rstrip("/")
        self._headers = dict(_AGENT)
        if key and rest.key_header:
            self._headers[rest.key_header] = key
        self._is_simulated = is_simulated
        self._wait = wait or _sleep
        self._now = now
        self._retry_policy = retry_policy or RetryPolicy()
        self._random = random_numbers or random.Random()  # noqa: S311 - no secret depends on it
        self._pool = urllib3.PoolManager(maxsize=1, retries=False)
        self._max_bytes = max_bytes
        self._tokens = float(rest.burst)
        self._refilled_at = now()
        self._blocked_until = now()
        self._failures = 0

    def __str__(self) -> str:
        return redact_url(self._url)

    def ask(self, path: str) -> Answer:
        """Wait for the rate limit, request trades and return the response.

        Raises RefusalError if the exchange gives no trades, WrongKindError if the simulator answers
        instead of the exchange or the other way round, and WorkerStopped.
        """
        text, received_ns, page = self._request(path, self._rest.parse_page)
        return Answer(text, received_ns, page)

    def ask_candles(
        self, rules: CandleRules, native_symbol: str, begin_s: int, end_s: int
    ) -> list[VenueCandle]:
        """Wait for the rate limit, and return the exchange's own candles of a span of minutes.

        `begin_s` (included) and `end_s` (excluded) are seconds since 1970. An answer that is none
        delays no request for trades. Raises as `ask`.
        """
        path = rules.path(native_symbol, begin_s, end_s)
        _, _, candles = self._request(path, rules.parse, rules.cost, backs_off=False)
        return [candle for candle in candles if begin_s <= candle.start_s < end_s]

    def seconds_until_slot(self, cost: float = 1.0) -> float:
        """Return the seconds until a request may be sent that costs as much."""
        return self._pause(cost)

    def _request(
        self, path: str, parse: Callable[[Any], T], cost: float = 1.0, *, backs_off: bool = True
    ) -> tuple[str, int, T]:
        """Send a request. Return the text, its time of receipt (ns) and what `parse` reads."""
        self._wait_for_slot(cost)
        status, headers, body = self._get(path)
        received_ns = time.time_ns()
        is_simulated = SIMULATOR_HEADER in headers
        if is_simulated and self._is_simulated is False:
            raise wrong_exchange_error(str(self), is_simulated=True)
        content, text = _decode(body)
        error = self._rest.parse_error(status, content)
        if error:
            if error.kind is RestErrorKind.FAILED and not backs_off:
                raise RefusalError(error.reason)
            raise self._to_refusal(error, headers)
        try:
            parsed = parse(content)
        except FrameError as fault:
            reason = f"an answer that is none: {fault.detail}"
            raise (self._back_off(reason) if backs_off else RefusalError(reason)) from fault
        if self._is_simulated and not is_simulated:
            # Checked last: a proxy before the simulator may refuse without its header.
            raise wrong_exchange_error(str(self), is_simulated=False)
        self._failures = 0
        self._apply_rate_headers(headers)
        return text, received_ns, parsed

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()

    def _wait_for_slot(self, cost: float) -> None:
        while (pause := self._pause(cost)) > 0:
            if not self._wait(pause):
                raise WorkerStopped
        self._tokens -= cost

    def _pause(self, cost: float) -> float:
        """Return the seconds until a request may be sent that costs as much."""
        now = self._now()
        self._tokens += (now - self._refilled_at) * self._rest.requests_per_s
        self._tokens = min(self._tokens, float(self._rest.burst))
        self._refilled_at = now
        refill_s = max(0.0, cost - self._tokens) / self._rest.requests_per_s
        return max(self._blocked_until - now, refill_s)

    def _get(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        timeout = urllib3.Timeout(
            connect=self._retry_policy.connect_s, read=self._retry_policy.answer_s
        )
        try:
            with _released_response(
                self._pool.request(
                    "GET",
                    self._url + path,
                    headers=self._headers,
                    timeout=timeout,
                    redirect=False,
                    preload_content=False,
                )
            ) as response:
                return response.status, response.headers, self._body(response)
        except (HTTPError, OSError) as error:
            # The text of the library may hold the full address, and with it secrets.
            reason = f"no answer from {self}: {type(error).__name__}"
            raise self._back_off(reason) from error

    def _body(self, response: BaseHTTPResponse) -> bytes:
        end = self._now() + self._retry_policy.answer_s
        parts, size = [], 0
        for part in response.stream(_CHUNK, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > self._max_bytes:
                limit = f"{self._max_bytes:,}"
                refusal = self._back_off(f"an answer of more than {limit} bytes from {self}")
                raise TooLargeError(refusal.reason)
            if self._now() > end:
                raise self._back_off(f"an answer that does not end from {self}")
        return b"".join(parts)

    def _to_refusal(self, error: RestError, headers: Mapping[str, str]) -> RefusalError:
        if error.kind is RestErrorKind.PERMANENT:
            self._failures = 0
            return RefusalError(error.reason, is_permanent=True)
        retry_after_s = _retry_after(headers) if error.kind is RestErrorKind.RATE_LIMITED else None
        return self._back_off(error.reason, retry_after_s)

    def _back_off(self, reason: str, retry_after_s: float | None = None) -> RefusalError:
        """Increase the backoff. Return the error to raise."""
        bound_s = min(
            self._retry_policy.first_backoff_s * 2**self._failures, self._retry_policy.max_backoff_s
        )
        self._failures = min(self._failures + 1, 30)
        pause = max(bound_s * (0.5 + self._random.random() / 2), retry_after_s or 0.0)
        self._blocked_until = self._now() + pause
        _log.warning("%s: %s; the next request waits %.1f s", self, reason, pause)
        return RefusalError(reason)

    def _apply_rate_headers(self, headers: Mapping[str, str]) -> None:
        """Block requests until the next minute if most of the rate limit is used."""
        if self._rest.usage_limit is None:
            return
        name, max_used = self._rest.usage_limit
        used = headers.get(name, "")
        if used.isascii() and used.isdigit() and int(used) > max_used:
            self._blocked_until = max(self._blocked_until, self._now() + 60 - time.time() % 60)


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return True


@contextmanager
def _released_response(response: BaseHTTPResponse) -> Iterator[BaseHTTPResponse]:
    """Yield the response; close its connection unless all of it was read."""
    try:
        yield response
    except BaseException:
        response.close()
        raise
    finally:
        response.release_conn()


def _decode(body: bytes) -> tuple[Any, str]:
    """Return the JSON and the text of a body; None and "" if it is not JSON."""
    try:
        text = body.decode()
        return parse(text), text
    except (UnicodeDecodeError, FrameError):
        return None, ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of the Retry-After header, at most _MAX_RETRY_AFTER_S."""
    text = headers.get("Retry-After", "").strip()
    if not text.isascii() or not text.isdigit():
        return None
    return min(float(text), _MAX_RETRY_AFTER_S)
