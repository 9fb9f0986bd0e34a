"""OpenAPI document, built from the same types that check the requests."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.web.api import params
from candlewax.web.api.bars import Bars
from candlewax.web.api.consolidated import Consolidated
from candlewax.web.api.formats import TYPES
from candlewax.web.api.parameter_schemas import described
from candlewax.web.api.reconciliations import Reconciliations
from candlewax.web.api.schemas import SCHEMAS
from candlewax.web.binance_api.openapi import paths as binance_paths

_STREAM: Final = (
    "Server-sent events with the latest state, up to 25 times a second: `candles` "
    '({"received_us": receive time of the newest trade, "data": changed candles}), '
    "`trades` (new ones), `tickers` (the day candle of each market that moved), `health`, "
    "`database` (`there` or `away`, and why) and `reset` (events were lost: read again). "
    "If the pipeline runs in the same process, trades and forming candles are sent while they "
    "are inserted, before they can be read; closed candles are sent once they are stored. "
    "As a WebSocket the same address sends JSON arrays of `[name, data]`."
)


_ABOUT: Final = (
    "Candles, their trades, and gaps. Amounts are exact decimals as text. A full page has a link "
    "to the next one, in `next` and in the header Link. Every answer has an ETag, can be read in "
    "parts (Range), and is compressed for clients that accept zstd or gzip."
)

_TAGS: Final = {
    "candlewax": "Candles with their certificates, trades and gaps",
    "binance": "The same in the shape of Binance's REST API, for programs that speak it: of the "
    "exchange `binance`, or of the one in the path",
    "sql": "Read-only SQL",
}

_ROWS: Final[Mapping[str, tuple[str, type[msgspec.Struct], str, str]]] = {
    "ohlcv/{timeframe}": ("getCandles", params.Candles, "Candle", "Candles of markets"),
    "consolidated/{timeframe}": (
        "getConsolidated", Consolidated, "ConsolidatedCandle", "Candles over all markets",
    ),
    "bars": ("getBars", Bars, "Bar", "Tick, volume and dollar bars of a market"),
    "trades": ("getTrades", params.Trades, "Trade", "Trades of a market, each once"),
    "tickers": (
        "getTickers", params.Tickers, "Ticker", "Latest prices and statistics of 24 hours",
    ),
    "gaps": ("getGaps", params.Gaps, "Gap", "Gaps: sequence numbers without a received trade"),
    "reconciliations": (
        "getReconciliations", Reconciliations, "Reconciliation",
        "Comparisons of candles with the exchanges' own",
    ),
    "symbols": ("getSymbols", params.SymbolList, "Symbol", "Markets that have candles"),
    "exchanges": ("getExchanges", params.Parameters, "Exchange", "All exchanges"),
}  # fmt: skip
"""Operation, parameters, schema of a row, and summary of each address of rows."""


def document(base: str, prefix: str = "") -> dict[str, Any]:
    """Return the OpenAPI document: all addresses below `base`, Binance's, and SQL at the root.

    `prefix` is the path before all of them.
    """
    paths = {f"{base}/{path}": _rows_operation(path, *one) for path, one in _ROWS.items()}
    paths[f"{base}/stream"] = _stream_operation()
    paths[f"{base}/health"] = _json_operation(
        "getHealth", "Health", "Status of feeds, database and cross-check"
    )
    paths[base] = _json_operation("getAbout", "About", "Name, data source and candles in memory")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Candlewax",
            "version": "1",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": prefix or "/", "description": "the server of this document"}],
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items()],
        "paths": {**paths, **binance_paths(), "/": _sql_operation()},
        "components": {"schemas": SCHEMAS},
    }


def _rows_operation(
    path: str, name: str, parameters_type: type[msgspec.Struct], schema: str, summary: str
) -> dict[str, Any]:
    properties = {
        "data": {"type": "array", "items": _ref(schema)},
        "next": {"type": ["string", "null"], "description": "address of the next page"},
    }
    if schema in {"Candle", "ConsolidatedCandle", "Bar", "Trade"}:
        symbols = {"type": "array", "items": {"type": "string"}}
        properties["symbols"] = {**symbols, "description": "unified symbols of the markets"}
    body_schema = {"type": "object", "properties": properties, "required": list(properties)}
    content: dict[str, Any] = {media_type: {} for media_type in TYPES.values()}
    content[TYPES["json"]] = {"schema": body_schema}
    parameters = described(parameters_type)
    if "{timeframe}" in path:
        timeframe = {"type": "string", "enum": list(TIMEFRAMES), "examples": ["1m"]}
        parameters.insert(
            0, {"name": "timeframe", "in": "path", "required": True, "schema": timeframe}
        )
    success = {"description": "rows", "content": content, "headers": _HEADERS}
    about = parameters_type.__doc__ or ""
    return {"get": _operation(name, "candlewax", summary, about, parameters, success)}


_HEADERS: Final = {
    "ETag": {"schema": {"type": "string"}},
    "Link": {"schema": {"type": "string"}, "description": 'the next page, rel="next"'},
    "Accept-Ranges": {"schema": {"type": "string"}, "description": "bytes"},
}


def _json_operation(name: str, schema: str, summary: str) -> dict[str, Any]:
    content = {TYPES["json"]: {"schema": _ref(schema)}}
    success = {"description": summary, "content": content}
    return {"get": _operation(name, "candlewax", summary, "", [], success)}


def _stream_operation() -> dict[str, Any]:
    success = {"description": "events", "content": {"text/event-stream": {}}}
    parameters = described(params.Stream)
    summary = "Live events of one market"
    operation = _operation("streamEvents", "candlewax", summary, _STREAM, parameters, success)
    operation["responses"]["101"] = {
        "description": "a WebSocket with the same events: with `Upgrade: websocket` in the request"
    }
    return {"get": operation}


def _sql_operation() -> dict[str, Any]:
    query = {
        "name": "query",
        "in": "query",
        "required": True,
        "schema": {"type": "string", "examples": ["SELECT count() FROM ohlcv_1m"]},
    }
    success = {"description": "rows in the format of the query", "content": {"*/*": {}}}
    about = (
        "One read-only query in the form of ClickHouse's HTTP interface: in `query` or in the "
        "body of a POST, with `param_*`, `database` and `default_format`. Errors are "
        "ClickHouse's: a text, and the number in X-ClickHouse-Exception-Code. If the tables are "
        "on a ClickHouse server, send queries to that server."
    )
    summary = "SQL, read-only (without `query`: the page)"
    return {"get": _operation("querySql", "sql", summary, about, [query], success)}


def _operation(
    name: str,
    tag: str,
    summary: str,
    description: str,
    parameters: Sequence[Mapping[str, Any]],
    success: Mapping[str, Any],
) -> dict[str, Any]:
    failure = {"description": "refused", "content": {TYPES["json"]: {"schema": _ref("Error")}}}
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "description": " ".join(description.split()),
        "parameters": list(parameters),
        "responses": {"200": dict(success), "4XX": failure},
    }


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
