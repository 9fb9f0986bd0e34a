"""OpenAPI document, built from the same types that check the requests."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.web.api import params
from candlewax.web.api.formats import TYPES

_AMOUNT: Final = {"type": "string", "description": "exact decimal", "examples": ["71781.93"]}
_TIME: Final = {"type": "string", "format": "date-time"}
_WHOLE: Final = {"type": "integer", "minimum": 0}


def _nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"oneOf": [dict(schema), {"type": "null"}]}


def _fields(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - schemas of JSON
    return {"type": "object", "properties": fields, "required": list(fields)}


_STATUSES: Final = ["forming", "complete", "gaps", "partial", "unverified"]

SCHEMAS: Final[Mapping[str, Any]] = {
    "Candle": _fields(
        window_start=_TIME,
        **dict.fromkeys(("open", "high", "low", "close", "volume", "quote_volume"), _AMOUNT),
        trade_count=_WHOLE,
        buy_volume={**_AMOUNT, "description": "traded by taker buys"},
        buy_quote_volume={**_AMOUNT, "description": "traded by taker buys"},
        open_time=_TIME,
        close_time=_TIME,
        first_sequence={**_WHOLE, "description": "sequence of the first trade; 0: not numbered"},
        last_sequence={**_WHOLE, "description": "sequence of the last trade; 0: not numbered"},
        closed={"type": "boolean", "description": "false while the candle is forming"},
        status={"type": "string", "enum": _STATUSES},
        missing={**_WHOLE, "description": "missing trades that may belong to the candle"},
        feed_down_ms={**_WHOLE, "description": "milliseconds of its window in an outage"},
        repaired={**_WHOLE, "description": "trades received by repair or backfill"},
        revision={**_WHOLE, "description": "trades received after the candle closed"},
    ),
    "Trade": _fields(
        timestamp=_TIME,
        side={"type": "string", "enum": ["BUY", "SELL"], "description": "side of the taker"},
        price=_AMOUNT,
        quantity=_AMOUNT,
        quote_volume=_AMOUNT,
        trade_id={"type": "string"},
        sequence=_WHOLE,
        conditions={"type": "array", "items": {"type": "string"}},
        received_at=_TIME,
    ),
    "Gap": _fields(
        exchange={"type": "string"},
        symbol={"type": "string"},
        first_sequence=_WHOLE,
        last_sequence=_WHOLE,
        count=_WHOLE,
        missing={**_WHOLE, "description": "trades of the gap not received yet"},
        before={**_TIME, "description": "time of the last trade before the gap"},
        after={**_TIME, "description": "time of the first trade after the gap"},
        detected_at=_TIME,
        state={"type": "string", "enum": ["open", "repairing", "unrepairable", "repaired"]},
        attempts=_WHOLE,
        reason=_nullable({"type": "string"}),
        numbering={
            **_WHOLE,
            "description": "numbering of the gap, as in `silver_trades`",
        },
    ),
    "Ticker": _fields(
        exchange={"type": "string"},
        symbol={"type": "string"},
        price={**_AMOUNT, "description": "price of the last trade"},
        time={**_TIME, "description": "time of the last trade"},
        window_start={**_TIME, "description": "begin of the 24 hours"},
        window_end={**_TIME, "description": "end of the newest minute of the exchange"},
        **dict.fromkeys(("open", "high", "low"), _nullable(_AMOUNT)),
        change=_nullable({**_AMOUNT, "description": "price less open"}),
        change_percent=_nullable({**_AMOUNT, "description": "rounded to 4 decimals"}),
        vwap=_nullable({**_AMOUNT, "description": "rounded to 12 decimals"}),
        **dict.fromkeys(("volume", "quote_volume"), _AMOUNT),
        trade_count=_WHOLE,
        buy_volume={**_AMOUNT, "description": "traded by taker buys"},
        buy_quote_volume={**_AMOUNT, "description": "traded by taker buys"},
        first_sequence={**_WHOLE, "description": "sequence of the first trade; 0: not numbered"},
        last_sequence={**_WHOLE, "description": "sequence of the last trade; 0: not numbered"},
        missing={**_WHOLE, "description": "missing trades that may belong to the 24 hours"},
        feed_down_ms={**_WHOLE, "description": "milliseconds of the 24 hours in an outage"},
    ),
    "Symbol": _fields(
        exchange={"type": "string"},
        symbol={"type": "string"},
        trades=_WHOLE,
        first_trade=_TIME,
        last_trade=_TIME,
    ),
    "Exchange": _fields(exchange={"type": "string"}, symbols=_WHOLE, trades=_WHOLE),
    "Error": _fields(
        error={
            "type": "object",
            "properties": {
                "code": {"type": "string", "description": "fixed code for programs"},
                "message": {"type": "string", "description": "reason for people"},
                "parameter": {
                    "type": "string",
                    "description": "name of the bad parameter, if any",
                },
            },
            "required": ["code", "message"],
        }
    ),
    "Health": {"type": "object", "description": "state of each connection, rates and latency"},
    "About": _fields(name={"type": "string"}, feed={"type": "string"}, candles_in_memory=_WHOLE),
}

_STREAM: Final = (
    "Server-sent events with the latest state, up to 25 times a second: `candles` "
    '({"received_us": receive time of the newest trade, "data": changed candles}), '
    "`trades` (new ones), `tickers` (the day candle of each market that moved), `health`, "
    "`database` (`there` or `away`, and why) and `reset` (events were lost: read again). "
    "If the pipeline runs in the same process, trades and forming candles are sent while they "
    "are inserted, before they can be read; closed candles are sent once they are stored."
)


def document(base: str) -> dict[str, Any]:
    """Return the OpenAPI document: all addresses below `base`, and SQL at the root."""
    rows: dict[str, tuple[type[msgspec.Struct], str, str]] = {
        "exchanges": (params.Parameters, "Exchange", "All exchanges"),
        "symbols": (params.SymbolList, "Symbol", "Markets that have candles"),
        "ohlcv/{timeframe}": (params.Candles, "Candle", "Candles of a market"),
        "trades": (params.Trades, "Trade", "Trades of a market, each once"),
        "tickers": (params.Tickers, "Ticker", "Latest prices and statistics of 24 hours"),
        "gaps": (params.Gaps, "Gap", "Gaps: sequence numbers without a received trade"),
    }
    paths = {
        f"{base}/{path}": _rows_operation(path, *operation) for path, operation in rows.items()
    }
    paths[base] = _json_operation("About", "Name, data source and candles in memory")
    paths[f"{base}/health"] = _json_operation("Health", "Status of feeds, database and cross-check")
    paths[f"{base}/stream"] = _stream_operation()
    paths["/"] = _sql_operation()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Candlewax",
            "version": "1",
            "description": "Candles, their trades, and gaps. Amounts "
            "are exact decimals as text. A full page has a link to the next one, in `next` and "
            "in the header Link. Every answer has an ETag.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _rows_operation(
    path: str, parameters_type: type[msgspec.Struct], schema: str, summary: str
) -> dict[str, Any]:
    body_schema = {
        "type": "object",
        "properties": {
            "data": {"type": "array", "items": _ref(schema)},
            "next": {"type": ["string", "null"], "description": "address of the next page"},
        },
        "required": ["data", "next"],
    }
    content: dict[str, Any] = {media_type: {} for media_type in TYPES.values()}
    content[TYPES["json"]] = {"schema": body_schema}
    parameters = _parameters(parameters_type)
    if "{timeframe}" in path:
        timeframe = {"type": "string", "enum": list(TIMEFRAMES)}
        parameters.insert(
            0, {"name": "timeframe", "in": "path", "required": True, "schema": timeframe}
        )
    success = {"description": "rows", "content": content, "headers": _HEADERS}
    return {"get": _operation(summary, parameters_type.__doc__ or "", parameters, success)}


_HEADERS: Final = {
    "ETag": {"schema": {"type": "string"}},
    "Link": {"schema": {"type": "string"}, "description": 'the next page, rel="next"'},
}


def _json_operation(schema: str, summary: str) -> dict[str, Any]:
    content = {TYPES["json"]: {"schema": _ref(schema)}}
    return {"get": _operation(summary, "", [], {"description": summary, "content": content})}


def _stream_operation() -> dict[str, Any]:
    success = {"description": "events", "content": {"text/event-stream": {}}}
    return {
        "get": _operation("Live events of one market", _STREAM, _parameters(params.Stream), success)
    }


def _sql_operation() -> dict[str, Any]:
    query = {"name": "query", "in": "query", "required": True, "schema": {"type": "string"}}
    success = {"description": "rows in the format of the query", "content": {"*/*": {}}}
    about = (
        "One read-only query in the form of ClickHouse's HTTP interface: in `query` or in the "
        "body of a POST, with `param_*`, `database` and `default_format`. Errors are "
        "ClickHouse's: a text, and the number in X-ClickHouse-Exception-Code. If the tables are "
        "on a ClickHouse server, send queries to that server."
    )
    get = _operation("SQL, read-only (without `query`: the page)", about, [query], success)
    return {"get": get}


def _operation(
    summary: str, description: str, parameters: list[dict[str, Any]], success: Mapping[str, Any]
) -> dict[str, Any]:
    failure = {"description": "refused", "content": {TYPES["json"]: {"schema": _ref("Error")}}}
    return {
        "summary": summary,
        "description": " ".join(description.split()),
        "parameters": parameters,
        "responses": {"200": dict(success), "4XX": failure},
    }


def _parameters(parameters_type: type[msgspec.Struct]) -> list[dict[str, Any]]:
    properties, required = params.fields(parameters_type)
    parameters = []
    for name, schema in properties.items():
        about: dict[str, Any] = {"name": name, "in": "query", "required": name in required}
        if schema.get("type") == "array":
            about |= {"style": "form", "explode": False}
        parameters.append({**about, "schema": schema})
    return parameters


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
