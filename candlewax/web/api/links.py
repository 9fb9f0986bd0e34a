"""Links from a page of rows to the next one, and what they hold."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from msgspec import UnsetType
from starlette.requests import Request

from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.runtime.times import parse_time
from candlewax.web.api.params import EARLIEST, LATEST, Span
from candlewax.web.cache.chunks import CandlePage
from candlewax.web.problem import bad_parameter
from candlewax.web.queries import Cursor


def next_link(request: Request, changes: Mapping[str, str] | None) -> str | None:
    """Return the address of the request with some parameters changed; None for no changes."""
    if changes is None:
        return None
    parameters = {**request.query_params, **changes}
    return f"{request.url.path}?{urlencode(parameters)}"


def edge(pages: Sequence[CandlePage], limit: int, *, last: bool) -> int | None:
    """Return the start of the candle that ends this answer; None if nothing may follow.

    Of several markets the one that comes least far decides, so that the next page begins at the
    same time for all of them.
    """
    full = [page for page in pages if page.count == limit]
    if not full:
        return None
    return max(page.first for page in full) if last else min(page.last for page in full)


def after_candles(at: int, timeframe: str, span: Span, *, last: bool) -> dict[str, str] | None:
    """Return the parameter that makes the next page begin, or end, beside a candle.

    Returns None if nothing of the span is left.
    """
    if last:
        end = datetime.fromtimestamp(at, UTC)
        return {"to": f"{end:%Y-%m-%dT%H:%M:%SZ}"} if end > span.begin else None
    begin = at + TIMEFRAMES[timeframe][1] // 1_000_000
    return {"from": str(begin)} if begin < span.end.timestamp() else None


def cursor_text(trade: Mapping[str, Any]) -> str:
    """Return the place of a trade as text for a link."""
    return f"{trade['timestamp']:%Y-%m-%dT%H:%M:%S.%f}~{trade['sequence']}~{trade['trade_id']}"


def parse_cursor(text: str | UnsetType) -> Cursor | None:
    """Return the place that a link names. Raises Problem."""
    if isinstance(text, UnsetType):
        return None
    try:
        time, sequence, trade_id = text.split("~", 2)
        at = parse_time(f"{time}Z")
        number = int(sequence)
    except ValueError:
        raise bad_parameter("cursor", "takes the value from the link to a next page") from None
    if not (EARLIEST <= at < LATEST and 0 <= number < 1 << 64):
        raise bad_parameter("cursor", "takes the value from the link to a next page")
    return Cursor(at, number, trade_id)
