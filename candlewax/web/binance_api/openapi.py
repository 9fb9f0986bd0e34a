"""Description of the addresses in Binance's shape, for the OpenAPI document."""

from collections.abc import Mapping
from typing import Any, Final

from candlewax.exchanges import EXCHANGES
from candlewax.web.api.parameter_schemas import described
from candlewax.web.binance_api.queries import BASES, QUERIES

_TEXT: Final = {"type": "string"}
_WHOLE: Final = {"type": "integer"}
_UNKNOWN: Final = {"type": "null"}
_ID: Final = {"type": ["integer", "string"], "description": "text if trades are not numbered"}
_SOLD: Final = {"type": "boolean", "description": "whether the taker sold"}
_MAYBE: Final = {"type": ["string", "null"]}

_KLINE: Final = {
    "type": "array",
    "description": "open time, open, high, low, close, volume, close time, quote volume, trades, "
    'taker buy volume, taker buy quote volume, "0"; times in milliseconds',
    "prefixItems": [
        _WHOLE, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT, _WHOLE, _TEXT, _WHOLE, _TEXT, _TEXT, _TEXT,
    ],
    "minItems": 12,
    "maxItems": 12,
}  # fmt: skip


def _object(**fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


_TRADE: Final = _object(
    id=_ID, price=_TEXT, qty=_TEXT, quoteQty=_TEXT, time=_WHOLE, isBuyerMaker=_SOLD,
    isBestMatch=_UNKNOWN,
)  # fmt: skip
_AGG_TRADE: Final = _object(a=_ID, p=_TEXT, q=_TEXT, f=_ID, l=_ID, T=_WHOLE, m=_SOLD, M=_UNKNOWN)
_PRICE: Final = _object(symbol=_TEXT, price=_TEXT)
_DAY: Final = _object(
    symbol=_TEXT, priceChange=_MAYBE, priceChangePercent=_MAYBE, weightedAvgPrice=_MAYBE,
    prevClosePrice=_UNKNOWN, lastPrice=_TEXT, lastQty=_UNKNOWN, bidPrice=_UNKNOWN,
    bidQty=_UNKNOWN, askPrice=_UNKNOWN, askQty=_UNKNOWN, openPrice=_MAYBE, highPrice=_MAYBE,
    lowPrice=_MAYBE, volume=_TEXT, quoteVolume=_TEXT, openTime=_WHOLE, closeTime=_WHOLE,
    firstId=_WHOLE, lastId=_WHOLE, count=_WHOLE,
)  # fmt: skip
_INFO: Final = _object(
    timezone=_TEXT, serverTime=_WHOLE, rateLimits={"type": "array"},
    exchangeFilters={"type": "array"}, symbols={"type": "array", "items": {"type": "object"}},
)  # fmt: skip


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


_BODIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "klines": _list(_KLINE),
    "aggTrades": _list(_AGG_TRADE),
    "trades": _list(_TRADE),
    "historicalTrades": _list(_TRADE),
    "exchangeInfo": _INFO,
    "ticker/24hr": {"oneOf": [_DAY, _list(_DAY)]},
    "ticker/price": {"oneOf": [_PRICE, _list(_PRICE)]},
    "time": _object(serverTime=_WHOLE),
    "ping": {"type": "object"},
}

_ERROR: Final = _object(code=_WHOLE, msg=_TEXT)

_EXCHANGE: Final = {
    "name": "exchange",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "enum": list(EXCHANGES), "examples": ["binance"]},
}


def paths() -> dict[str, Any]:
    """Return all paths in OpenAPI's form."""
    return {f"{base}/{name}": {"get": _operation(base, name)} for base in BASES for name in QUERIES}


def _operation(base: str, name: str) -> dict[str, Any]:
    query, summary = QUERIES[name]
    of_path = "{exchange}" in base
    words = "".join(word[0].upper() + word[1:] for word in name.split("/"))
    return {
        "operationId": f"binance{words}{'OfExchange' if of_path else ''}",
        "tags": ["binance"],
        "summary": f"{summary}{' of an exchange' if of_path else ''}",
        "description": " ".join((query.__doc__ or "").split()),
        "parameters": [*([_EXCHANGE] if of_path else []), *described(query)],
        "responses": {
            "200": {"description": summary, "content": _json(_BODIES[name])},
            "4XX": {"description": "refused", "content": _json(_ERROR)},
        },
    }


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": dict(schema)}}
