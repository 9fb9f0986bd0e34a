"""Endpoint of tick, volume and dollar bars."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, UnsetType
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from candlewax.core.bars.rules import DECIMALS, BarRule, parse_rule
from candlewax.runtime.times import parse_time
from candlewax.web import bars, encode
from candlewax.web.api import formats, links, params
from candlewax.web.bars import BarPlace, BarSeries, BarWish
from candlewax.web.markets import Markets
from candlewax.web.problem import Problem, bad_parameter
from candlewax.web.queries import Store

BarKind = Annotated[
    Literal["tick", "volume", "dollar"],
    Meta(description="what closes a bar: its trades, its volume or its quote volume"),
]
Threshold = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=31,
        description="amount that closes a bar, as in the instruments file: trades, base asset or "
        "quote asset",
        examples=["1000"],
    ),
]
BarCursor = Annotated[
    str,
    Meta(max_length=40, description="from the link to a next page", examples=["2026-09-14~0"]),
]


class Bars(params.Span, frozen=True, kw_only=True):
    """Bars of a market, oldest first, chosen by the time of their first trade like candles by
    their begin. `day` and `number` name a bar; numbers begin at 0 each midnight (UTC). `cursor`
    comes from the link to the next page and counts beside `from` and `to`.
    """

    exchange: params.Exchange
    symbol: params.Symbol
    kind: BarKind
    threshold: Threshold
    closed: params.Closed | UnsetType = msgspec.UNSET
    status: params.Statuses | UnsetType = msgspec.UNSET
    order: params.Order | UnsetType = msgspec.UNSET
    limit: params.Limit = 1000
    cursor: BarCursor | UnsetType = msgspec.UNSET

    @property
    def is_last(self) -> bool:
        """Return whether the last rows of the span are asked for, not the first."""
        return self.from_ is msgspec.UNSET or self.order == "desc"


class BarsApi:
    """Handler of requests for bars."""

    def __init__(self, store: Store, markets: Markets) -> None:
        self._store = store
        self._markets = markets

    async def bars(self, request: Request) -> Response:
        """Return bars of a market."""
        parameters = params.read(Bars, request)
        form = formats.choose_form(request, parameters.format)
        rule, wish = _rule(parameters), _wish(parameters)
        symbol = await self._markets.find(parameters.exchange, parameters.symbol)
        series = BarSeries(parameters.exchange, symbol, rule)
        rows = await run_in_threadpool(partial(bars.read, self._store, series, wish))
        if rows.is_empty():
            await run_in_threadpool(self._require, series)
        link = None
        if rows.height == parameters.limit:
            edge = rows.row(0 if wish.last else -1, named=True)
            link = links.next_link(request, {"cursor": _cursor_text(edge)})
        if parameters.order == "desc":
            rows = rows.reverse()
        if form == "json":
            lines = await run_in_threadpool(encode.lines, rows)
            return formats.respond_lines(request, lines, link, [symbol])
        body = await run_in_threadpool(formats.write, rows, form)
        return formats.respond(request, body, form, formats.link_headers(link))

    def _require(self, series: BarSeries) -> None:
        """Raise Problem if no bars of a series are stored."""
        rules = bars.stored_rules(self._store, series.exchange, series.symbol)
        if series.rule in rules:
            return
        market = f"{series.symbol} at {series.exchange}"
        switch = (
            f'the instruments file switches them on by "{series.symbol}" = ["{series.rule}"] in '
            f"[{series.exchange}.bars], and the command candlewax bars makes those of stored trades"
        )
        if not rules:
            text = f"no bars of {market} are stored; {switch}"
            raise Problem(404, "unknown_bars", text, "symbol")
        kinds = {rule.kind for rule in rules}
        wrong = "threshold" if series.rule.kind in kinds else "kind"
        there = ", ".join(map(str, rules))
        text = f"no bars {series.rule} of {market} are stored; there is {there}; {switch}"
        raise Problem(404, "unknown_bars", text, wrong)


def _rule(parameters: Bars) -> BarRule:
    """Return the rule of a request. Raises Problem."""
    try:
        return parse_rule(f"{parameters.kind} {parameters.threshold}")
    except ValueError:
        amount = (
            "a positive whole number"
            if parameters.kind == "tick"
            else f"a positive number with at most {DECIMALS} decimals"
        )
        text = f"takes {amount} for {parameters.kind}; got {parameters.threshold!r}"
        raise bad_parameter("threshold", text) from None


def _wish(parameters: Bars) -> BarWish:
    """Return the bars that a request asks for. Raises Problem."""
    return BarWish(
        parameters.begin,
        parameters.end,
        parameters.limit,
        parameters.is_last,
        None if isinstance(parameters.closed, UnsetType) else parameters.closed,
        None if isinstance(parameters.status, UnsetType) else parameters.status,
        _parse_cursor(parameters.cursor),
    )


def _cursor_text(bar: Mapping[str, Any]) -> str:
    """Return the place of a bar as text for a link."""
    return f"{bar['day']}~{bar['number']}"


def _parse_cursor(text: str | UnsetType) -> BarPlace | None:
    """Return the place that a link names. Raises Problem."""
    if isinstance(text, UnsetType):
        return None
    try:
        date, number = text.split("~")
        place = BarPlace(parse_time(f"{date}T00:00:00Z"), int(number))
    except ValueError:
        raise bad_parameter("cursor", "takes the value from the link to a next page") from None
    if not (params.EARLIEST <= place.day < params.LATEST and 0 <= place.number < 1 << 32):
        raise bad_parameter("cursor", "takes the value from the link to a next page")
    return place
