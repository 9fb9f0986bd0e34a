"""Endpoint of the comparisons of candles with the exchanges' own."""

from functools import partial
from typing import Annotated, Any, Final, Literal

import polars as pl
from msgspec import UNSET, Meta, UnsetType
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from candlewax.clickhouse.client import QueryError
from candlewax.core.schema import Columns
from candlewax.web import encode
from candlewax.web.api import formats, params
from candlewax.web.markets import Markets
from candlewax.web.queries import Store

Results = Annotated[
    tuple[Literal["equal", "differs", "unavailable"], ...],
    Meta(min_length=1, max_length=3, description="only comparisons with these results"),
]

_COMPARISONS: Final = """
SELECT exchange, symbol, toDateTime64(reconciliations.window_start, 0, 'UTC') AS window_start,
    toString(result) AS result, fields::Array(String) AS fields, ours, theirs,
    toString(reconciliations.status) AS status, version, revision,
    toString(reconciliations.reason) AS reason,
    toDateTime64(reconciliations.compared_at, 6, 'UTC') AS compared_at
FROM reconciliations FINAL
WHERE reconciliations.window_start >= {begin:DateTime('UTC')}
    AND reconciliations.window_start < {end:DateTime('UTC')}
    AND (empty({exchanges:Array(String)}) OR exchange::String IN {exchanges:Array(String)})
    AND (empty({symbols:Array(String)}) OR symbol::String IN {symbols:Array(String)})
    AND (empty({results:Array(String)})
        OR toString(reconciliations.result) IN {results:Array(String)})
ORDER BY reconciliations.window_start DESC, exchange, symbol
LIMIT {limit:UInt32}
"""


_TYPES: Final[Columns] = {
    "exchange": pl.String, "symbol": pl.String, "window_start": pl.Datetime("ms", "UTC"),
    "result": pl.String, "fields": pl.List(pl.String), "ours": pl.List(pl.String),
    "theirs": pl.List(pl.String), "status": pl.String, "version": pl.UInt64,
    "revision": pl.UInt16, "reason": pl.String, "compared_at": pl.Datetime("us", "UTC"),
}  # fmt: skip


def _read(store: Store, values: dict[str, Any]) -> pl.DataFrame:
    """Return comparisons; none of a database of an older version, which has no such table."""
    try:
        return store.ask(_COMPARISONS, values)
    except QueryError as error:
        if "UNKNOWN_TABLE" not in str(error):
            raise
        return pl.DataFrame(schema=_TYPES)


class Reconciliations(params.Span, frozen=True, kw_only=True):
    """Comparisons of closed one-minute candles with the exchanges' own, newest first: the fields
    that differ, with our values and theirs. `version` is 0 where the exchange has a candle and we
    have none. In CSV the values of a list are in one field, with spaces between them.
    """

    exchange: params.Exchange | UnsetType = UNSET
    symbol: params.Symbols | UnsetType = UNSET
    result: Results | UnsetType = UNSET
    limit: params.Limit = 1000


class ReconciliationsApi:
    """Handler of requests for comparisons."""

    def __init__(self, store: Store, markets: Markets) -> None:
        self._store = store
        self._markets = markets

    async def comparisons(self, request: Request) -> Response:
        """Return comparisons."""
        parameters = params.read(Reconciliations, request)
        form = formats.choose_form(request, parameters.format)
        rows = await run_in_threadpool(partial(_read, self._store, self._values(parameters)))
        if form == "json":
            lines = await run_in_threadpool(encode.lines, rows)
            return formats.respond_lines(request, lines, None, ())
        if form == "csv":
            joined = (pl.col(name).list.join(" ") for name in ("fields", "ours", "theirs"))
            rows = rows.with_columns(joined)
        body = await run_in_threadpool(formats.write, rows, form)
        return formats.respond(request, body, form, {})

    def _values(self, parameters: Reconciliations) -> dict[str, Any]:
        """Return the values of the statement."""
        exchanges = [] if isinstance(parameters.exchange, UnsetType) else [parameters.exchange]
        names = () if isinstance(parameters.symbol, UnsetType) else parameters.symbol
        symbols = [one for name in names for one in self._markets.spell(exchanges, name)]
        results = [] if isinstance(parameters.result, UnsetType) else [*parameters.result]
        return {
            "begin": parameters.begin,
            "end": parameters.end,
            "exchanges": exchanges,
            "symbols": symbols,
            "results": results,
            "limit": parameters.limit,
        }
