"""Request to the REST of a simulated exchange, and its answer."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.market.market import Trade
from candlewax.simulator.recording.faults import drop_middle

Query = Mapping[str, str]
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """Response: JSON text, status and headers."""

    text: str
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


class RequestError(Exception):
    """A request that is refused with an answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.text)
        self.answer = answer


@dataclass(frozen=True)
class RestRequest:
    """REST request; it may return the `shown` newest trades (0 is all), or with some left out."""

    venue: Venue
    path: str
    query: Query
    key: str | None = None
    shown: int = 0
    is_incomplete: bool = False

    def trades(self, native_symbol: str) -> Sequence[Trade]:
        """Return the trades of a market that REST shows, oldest first.

        Futures trades with a condition, such as those of the insurance fund, are never shown.
        """
        trades = self.venue.published.market_trades(self.venue.exchange, native_symbol).all()
        if self.venue.markets[native_symbol].conditions:
            trades = [trade for trade in trades if not trade.condition]
        return trades[-self.shown :] if self.shown else trades


def refuse(text: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> RequestError:
    """Return the error for a request that is refused with a text."""
    return RequestError(Answer(text, status))


def parse_number(query: Query, name: str, error: RequestError) -> int | None:
    """Return a whole number of the query, or None. Raises the error for any other text."""
    text = query.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise error
    return int(text)


def parse_limit(query: Query, name: str, most: int, default: int, error: RequestError) -> int:
    """Return the number of rows that the query asks for, at most `most`. Raises the error."""
    limit = parse_number(query, name, error)
    if limit is None:
        return default
    if limit == 0:
        raise error
    return min(limit, most)


def show_page(request: RestRequest, page: Sequence[T]) -> Sequence[T]:
    """Return the rows of a page, without some if the answer is to lack them."""
    return drop_middle(page) if request.is_incomplete else page


def index_of(trades: Sequence[Trade], number: int) -> int:
    """Return the index of the first trade from a number on."""
    return bisect_left(trades, number, key=lambda trade: trade.trade_id)
