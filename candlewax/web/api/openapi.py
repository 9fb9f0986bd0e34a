"""The OpenAPI document, made of the types that check the requests."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.web.api import params
from candlewax.web.api.formats import TYPES

_AMOUNT: Final = {"type": "string", "description": "exact decimal", "examples": ["71781.93"]}
_TIME: Final = {"type": "string", "format": "date-time"}
_WHOLE: Final = {"type": "integer", "minimum": 0}


def _perhaps(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"oneOf": [dict(schema), {"type": "null"}]}


def _fields(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - schemas of JSON
    return {"type": "object", "properties": fields, "required": list(fields)}


_WORDS: Final = ["forming", "complete", "gaps", "partial", "unverified"]

SCHEMAS: Final[Mapping[str, Any]] = {
    "Candle": _fields(
        window_start=_TIME,
        **dict.fromkeys(("open", "high", "low", "close", "volume", "quote_volume"), _AMOUNT),
        trade_count=_WHOLE,
        buy_volume={**_AMOUNT, "description": "of the trades whose taker bought"},
        buy_quote_volume={**_AMOUNT, "description": "of the trades whose taker bought"},
        open_time=_TIME,
        close_time=_TIME,
        first_sequence={**_WHOLE, "description": "number of the first trade; 0: not numbered"},
        last_sequence={**_WHOLE, "description": "number of the last trade; 0: not numbered"},
        closed={"type": "boolean", "description": "false while it forms"},
        status={"type": "string", "enum": _WORDS},
        missing={**_WHOLE, "description": "trades known missing that may belong to it"},
        feed_down_ms={**_WHOLE, "description": "of its time, without any connection"},
        repaired={**_WHOLE, "description": "trades that came otherwise than live"},
        revision={**_WHOLE, "description": "trades that came after it had closed"},
    ),
    "Trade": _fields(
        timestamp=_TIME,
        side={"type": "string", "enum": ["BUY", "SELL"], "description": "the taker's"},
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
        missing={**_WHOLE, "description": "of these, not seen yet"},
        before={**_TIME, "description": "of the last trade before it"},
        after={**_TIME, "description": "of the first trade behind it"},
        detected_at=_TIME,
        state={"type": "string", "enum": ["open", "repairing", "unrepairable", "repaired"]},
        attempts=_WHOLE,
        reason=_perhaps({"type": "string"}),
        numbering={**_WHOLE, "description": "of the trades beside it, as `silver_trades` names it"},
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
                "code": {"type": "string", "description": "a fixed word"},
                "message": {"type": "string", "description": "the reason, for people"},
                "parameter": {"type": "string", "description": "which one, if it is one"},
            },
            "required": ["code", "message"],
        }
    ),
    "Health": {"type": "object", "description": "how each connection is, rates and latency"},
    "About": _fields(name={"type": "string"}, feed={"type": "string"}, candles_in_memory=_WHOLE),
}

_STREAM: Final = (
    "Server-sent events, each the latest state, about 25 times a second: `candles` "
    '({"received_us": when the newest trade was received, "data": candles that changed}), '
    "`trades` (those made since), `tickers` (the day's candle of each market that moved), "
    "`health`, `database` (whether it is `there` or `away`, and why), and `reset`: something "
    "was missed, read anew. Where the pipeline runs in the same process, trades and candles "
    "that form are told beside their insert, before they can be read; closed candles once they "
    "are stored."
)


def document(base: str) -> dict[str, Any]:
    """All addresses below `base`, and SQL at the root."""
    rows: dict[str, tuple[type[msgspec.Struct], str, str]] = {
        "exchanges": (params.Parameters, "Exchange", "All exchanges"),
        "symbols": (params.Symbols, "Symbol", "Markets of which there are candles"),
        "ohlcv/{timeframe}": (params.Candles, "Candle", "Candles of a market"),
        "trades": (params.Trades, "Trade", "Trades of a market, each once"),
        "gaps": (params.Gaps, "Gap", "Trades that an exchange numbered and nobody has seen"),
    }
    paths = {f"{base}/{path}": _rows(path, *what) for path, what in rows.items()}
    paths[base] = _one("About", "What is served here")
    paths[f"{base}/health"] = _one("Health", "How the feeds are")
    paths[f"{base}/stream"] = _stream()
    paths["/"] = _sql()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Candlewax",
            "version": "1",
            "description": "Candles, the trades they are made of, and what is missing. Amounts "
            "are exact decimals as text. A full page has a link to the next one, in `next` and "
            "in the header Link. Every answer has an ETag.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def _rows(path: str, kind: type[msgspec.Struct], schema: str, summary: str) -> dict[str, Any]:
    answer = {
        "type": "object",
        "properties": {
            "data": {"type": "array", "items": _ref(schema)},
            "next": {"type": ["string", "null"], "description": "address of the next page"},
        },
        "required": ["data", "next"],
    }
    content: dict[str, Any] = {kind: {} for kind in TYPES.values()}
    content[TYPES["json"]] = {"schema": answer}
    given = _parameters(kind)
    if "{timeframe}" in path:
        named = {"type": "string", "enum": list(TIMEFRAMES)}
        given.insert(0, {"name": "timeframe", "in": "path", "required": True, "schema": named})
    said = {"description": "rows", "content": content, "headers": _HEADERS}
    return {"get": _get(summary, kind.__doc__ or "", given, said)}


_HEADERS: Final = {
    "ETag": {"schema": {"type": "string"}},
    "Link": {"schema": {"type": "string"}, "description": 'the next page, rel="next"'},
}


def _one(schema: str, summary: str) -> dict[str, Any]:
    content = {TYPES["json"]: {"schema": _ref(schema)}}
    return {"get": _get(summary, "", [], {"description": summary, "content": content})}


def _stream() -> dict[str, Any]:
    said = {"description": "events", "content": {"text/event-stream": {}}}
    return {"get": _get("What happens, as it happens", _STREAM, _parameters(params.Stream), said)}


def _sql() -> dict[str, Any]:
    query = {"name": "query", "in": "query", "required": True, "schema": {"type": "string"}}
    said = {"description": "rows in the format of the query", "content": {"*/*": {}}}
    about = (
        "One query, as ClickHouse's HTTP interface takes it: in `query` or in the body of a "
        "POST, with `param_*`, `database` and `default_format`. It may only read. Errors are "
        "ClickHouse's: text, and its number in X-ClickHouse-Exception-Code. Where the tables "
        "are a server's, ask that server."
    )
    get = _get("SQL, read-only (without `query`: the page)", about, [query], said)
    return {"get": get}


def _get(
    summary: str, description: str, given: list[dict[str, Any]], said: Mapping[str, Any]
) -> dict[str, Any]:
    wrong = {"description": "refused", "content": {TYPES["json"]: {"schema": _ref("Error")}}}
    return {
        "summary": summary,
        "description": " ".join(description.split()),
        "parameters": given,
        "responses": {"200": dict(said), "4XX": wrong},
    }


def _parameters(kind: type[msgspec.Struct]) -> list[dict[str, Any]]:
    (_,), defined = msgspec.json.schema_components([kind], ref_template="{name}")
    schema = defined[kind.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        for name, field in schema["properties"].items()
    ]


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
