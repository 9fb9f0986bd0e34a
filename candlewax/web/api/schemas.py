"""JSON schemas of the rows and errors of the API."""

from collections.abc import Mapping
from typing import Any, Final

_AMOUNT: Final = {"type": "string", "description": "exact decimal", "examples": ["71781.93"]}
_TIME: Final = {"type": "string", "format": "date-time"}
_WHOLE: Final = {"type": "integer", "minimum": 0}
_TEXTS: Final = {"type": "array", "items": {"type": "string"}}


def _nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"oneOf": [dict(schema), {"type": "null"}]}


def _fields(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - schemas of JSON
    return {"type": "object", "properties": fields, "required": list(fields)}


_STATUSES: Final = ["forming", "complete", "gaps", "partial", "unverified"]


def _candle(**fields: Any) -> dict[str, Any]:  # noqa: ANN401 - schemas of JSON
    market = {"type": "string", "description": "only if several markets were asked for"}
    schema = _fields(**fields)
    return {**schema, "properties": {"exchange": market, "symbol": market, **fields}}


SCHEMAS: Final[Mapping[str, Any]] = {
    "Candle": _candle(
        window_start=_TIME,
        **dict.fromkeys(("open", "high", "low", "close", "volume", "quote_volume"), _AMOUNT),
        vwap={**_AMOUNT, "description": "quote_volume / volume, cut after 12 decimals"},
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
    "ConsolidatedCandle": _fields(
        window_start=_TIME,
        open={**_AMOUNT, "description": "of the earliest first trade of all markets"},
        high=_AMOUNT,
        low=_AMOUNT,
        close={**_AMOUNT, "description": "of the latest last trade of all markets"},
        **dict.fromkeys(("volume", "quote_volume"), _AMOUNT),
        vwap={**_AMOUNT, "description": "quote_volume / volume, cut after 12 decimals"},
        trade_count=_WHOLE,
        **dict.fromkeys(("buy_volume", "buy_quote_volume"), _AMOUNT),
        open_time=_TIME,
        close_time=_TIME,
        closed={"type": "boolean", "description": "false while any part is forming"},
        status={"type": "string", "enum": _STATUSES},
        trusted={"type": "boolean", "description": "every part has a proof"},
        missing={**_WHOLE, "description": "missing trades that may belong to the candles"},
        repaired={**_WHOLE, "description": "trades received by repair or backfill"},
        venues={**_WHOLE, "description": "markets with a candle"},
        absent={**_WHOLE, "description": "markets without one, of which nothing is proven"},
        high_close={**_AMOUNT, "description": "highest close of a market"},
        high_close_exchange={"type": "string"},
        high_close_symbol={"type": "string"},
        low_close={**_AMOUNT, "description": "lowest close of a market"},
        low_close_exchange={"type": "string"},
        low_close_symbol={"type": "string"},
        spread=_nullable({**_AMOUNT, "description": "high_close less low_close"}),
        spread_bps=_nullable({**_AMOUNT, "description": "spread / low_close in 1/10,000, cut"}),
        parts={"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
    ),
    "Bar": _fields(
        day={"type": "string", "format": "date", "description": "day of its trades, in UTC"},
        number={**_WHOLE, "description": "within the day, from 0"},
        **dict.fromkeys(("open", "high", "low", "close", "volume", "quote_volume"), _AMOUNT),
        vwap={**_AMOUNT, "description": "quote_volume / volume, cut after 12 decimals"},
        trade_count=_WHOLE,
        buy_volume={**_AMOUNT, "description": "traded by taker buys"},
        buy_quote_volume={**_AMOUNT, "description": "traded by taker buys"},
        open_time={**_TIME, "description": "time of the first trade"},
        close_time={**_TIME, "description": "time of the last trade"},
        first_sequence={**_WHOLE, "description": "sequence of the first trade; 0: not numbered"},
        last_sequence={**_WHOLE, "description": "sequence of the last trade; 0: not numbered"},
        closed={"type": "boolean", "description": "false while the bar is forming"},
        status={"type": "string", "enum": _STATUSES},
        missing={**_WHOLE, "description": "missing trades since midnight that may shift the bar"},
        repaired={**_WHOLE, "description": "trades received by repair or backfill"},
    ),
    "Part": _fields(
        exchange={"type": "string"},
        symbol={"type": "string"},
        state={
            "type": "string",
            "enum": [*_STATUSES, "empty", "absent"],
            "description": "status of its candle; empty: proven that it had no trade; absent: no "
            "candle, and no proof",
        },
        close=_nullable(_AMOUNT),
        close_time=_nullable(_TIME),
        **dict.fromkeys(("volume", "quote_volume"), _AMOUNT),
        trade_count=_WHOLE,
        missing=_WHOLE,
        share={**_AMOUNT, "description": "of the volume of all, cut after 12 decimals"},
        proof={
            "type": "string",
            "enum": ["none", "numbers", "exchange"],
            "description": "what shows that it has all trades: their numbers, or the exchange's "
            "own candles of each minute, which are equal",
        },
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
    "Reconciliation": _fields(
        exchange={"type": "string"},
        symbol={"type": "string"},
        window_start=_TIME,
        result={"type": "string", "enum": ["equal", "differs", "unavailable"]},
        fields={**_TEXTS, "description": "names of the fields that differ"},
        ours={**_TEXTS, "description": "our values of these fields; empty without a candle"},
        theirs={**_TEXTS, "description": "values of the exchange"},
        status={"type": "string", "description": "of the candle that was compared"},
        version={**_WHOLE, "description": "of the candle; 0: there is none"},
        revision={**_WHOLE, "description": "of the candle that was compared"},
        reason={"type": "string", "description": "why the exchange's candle is unavailable"},
        compared_at=_TIME,
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
        vwap=_nullable({**_AMOUNT, "description": "quote_volume / volume, cut after 12 decimals"}),
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
        contract_size=_nullable(
            {**_AMOUNT, "description": "value of a contract; volumes are then contracts"}
        ),
        contract_unit=_nullable({"type": "string", "description": "asset of contract_size"}),
        kind={"type": "string", "enum": ["spot", "perpetual", "future"]},
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
