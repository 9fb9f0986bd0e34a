"""Endpoint of consolidated candles."""

import re
from collections.abc import Collection, Sequence
from functools import partial
from typing import Annotated, Literal

import msgspec
import polars as pl
from msgspec import Meta, UnsetType
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from candlewax.exchanges.kraken_markets import ALIASES
from candlewax.web import consolidated, encode
from candlewax.web.api import formats, links, params
from candlewax.web.candle_reader import Wish
from candlewax.web.consolidated import Group
from candlewax.web.markets import Market, Markets
from candlewax.web.problem import Problem
from candlewax.web.queries import Store
from candlewax.web.stream.subscribers import Subscribers

Asset = Annotated[
    str,
    Meta(min_length=1, max_length=20, description="asset code, such as BTC", examples=["BTC"]),
]
Quotes = Annotated[
    tuple[Asset, ...],
    Meta(
        min_length=1,
        max_length=5,
        description="quote assets; several are counted together, as if one were worth the other",
        examples=[["USDT"], ["USD", "USDT", "USDC"]],
    ),
]
Kind = Annotated[
    Literal["spot", "perpetual"],
    Meta(
        description="spot markets, or perpetuals that are settled in their quote asset; "
        "they are never counted together",
        examples=["spot"],
    ),
]


class Consolidated(params.Span, frozen=True, kw_only=True):
    """Candles over all markets of a base asset in one quote asset, or in several. The span, the
    order and the limit count as for candles of one market. CSV has no `parts`.
    """

    base: Asset
    quote: Quotes
    kind: Kind = "spot"
    order: params.Order | UnsetType = msgspec.UNSET
    limit: params.Limit = 1000

    @property
    def is_last(self) -> bool:
        """Return whether the last rows of the span are asked for, not the first."""
        return self.from_ is msgspec.UNSET or self.order == "desc"


class ConsolidatedApi:
    """Handler of requests for consolidated candles."""

    def __init__(self, store: Store, subscribers: Subscribers, markets: Markets) -> None:
        self._store = store
        self._subscribers = subscribers
        self._markets = markets

    async def candles(self, request: Request) -> Response:
        """Return consolidated candles, with the part of each market."""
        timeframe = params.path_timeframe(request)
        parameters = params.read(Consolidated, request)
        form = formats.choose_form(request, parameters.format)
        stored = await self._markets.all()
        base, *quotes = _unified([parameters.base, *parameters.quote], stored)
        group = Group(base, quotes, parameters.kind)
        symbols = self._symbols(group, stored)
        self._subscribers.catch_up()
        last = parameters.is_last
        wish = Wish(parameters.begin, parameters.end, parameters.limit, last)
        find = partial(consolidated.read, self._store, group, timeframe, wish)
        rows = await run_in_threadpool(find)
        link = None
        if rows.height == parameters.limit:
            edge = encode.starts(rows)[0 if last else -1]
            changes = links.after_candles(edge, timeframe, parameters, last=last)
            link = links.next_link(request, changes)
        if parameters.order == "desc":
            rows = rows.reverse()
        if form == "csv":
            rows = rows.drop("parts")
        if form == "json":
            rows = rows.with_columns(consolidated.amounts_as_text(pl.col("parts")))
            lines = await run_in_threadpool(encode.lines, rows)
            return formats.respond_lines(request, lines, link, symbols)
        body = await run_in_threadpool(formats.write, rows, form)
        return formats.respond(request, body, form, formats.link_headers(link))

    def _symbols(self, group: Group, stored: Collection[Market]) -> Sequence[str]:
        """Return the symbols of a group of which something is stored. Raises Problem."""
        known = {symbol for _, symbol in stored}
        symbols = [symbol for symbol in group.symbols if symbol in known]
        if symbols:
            return symbols
        others = sorted(symbol for symbol in known if symbol.startswith(f"{group.base}/"))
        text = f"nothing is stored of {' and '.join(group.symbols)}"
        if not others:
            raise Problem(404, "unknown_market", text, "base")
        hint = f"; there is {', '.join(others)}"
        raise Problem(404, "unknown_market", text + hint, "quote")


def _unified(names: Collection[str], stored: Collection[Market]) -> list[str]:
    """Return the unified codes of assets: XBT is BTC, and btc too if a market of it is stored."""
    assets = {asset for _, symbol in stored for asset in re.split("[/:-]", symbol)}
    by_folded = {asset.casefold(): asset for asset in sorted(assets)}
    codes = (ALIASES.get(name.upper(), name) for name in names)
    return [code if code in assets else by_folded.get(code.casefold(), code) for code in codes]
