"""Answers of the simulated exchanges to requests for trades.

Sources: Binance Spot API, "Old trade lookup", "Recent trades list"; Binance USD-M Futures, "Old
Trades Lookup", "Recent Trades List"; Kraken API Center, "Get Recent Trades"; Coinbase Exchange,
"Get product trades", "Pagination".
"""

from bisect import bisect_left
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from candlewax.simulator.exchanges.rest_request import (
    Answer,
    RestRequest,
    index_of,
    parse_limit,
    parse_number,
    refuse,
    show_page,
)
from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.frames.trades import iso, pad_decimals, price, quantity
from candlewax.simulator.market.market import Trade
from candlewax.simulator.market.rng import decimal_text

SPOT_ROOT: Final = "api/v3"
BINANCE_ROOTS: Final = {
    "binance": SPOT_ROOT,
    "binance_us": SPOT_ROOT,
    "binance_usdm": "fapi/v1",
    "binance_coinm": "dapi/v1",
}
"""Paths of Binance's exchanges, before the last part."""

_NEVER: Final = 2**63
_KRAKEN_NAMES: Final = {"XBT": "BTC", "XDG": "DOGE"}


def _json_bool(value: bool) -> str:  # noqa: FBT001 - a JSON literal
    return "true" if value else "false"


def reply_binance(request: RestRequest) -> Answer:
    """Answer a request to Binance, spot or futures."""
    exchange, query = request.venue.exchange, request.query
    spot = BINANCE_ROOTS[exchange] == SPOT_ROOT
    root, _, name = request.path.rpartition("/")
    if root != BINANCE_ROOTS[exchange] or name not in ("historicalTrades", "trades"):
        raise refuse('{"code":-1000,"msg":"Unknown path."}', HTTPStatus.NOT_FOUND)
    is_historical = name == "historicalTrades"
    if is_historical and exchange != "binance" and not request.key:
        raise refuse('{"code":-2014,"msg":"API-key format invalid."}', HTTPStatus.UNAUTHORIZED)
    native_symbol = query.get("symbol")
    if not native_symbol:
        missing = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
        raise refuse(f'{{"code":-1102,"msg":"{missing}"}}')
    if not request.venue.is_known(native_symbol):
        raise refuse('{"code":-1121,"msg":"Invalid symbol."}')
    illegal = refuse('{"code":-1100,"msg":"Illegal characters found in a parameter."}')
    most, default = (500, 100) if is_historical and not spot else (1000, 500)
    limit = parse_limit(query, "limit", most, default, illegal)
    first = parse_number(query, "fromId", illegal) if is_historical else None
    shown = request.trades(native_symbol)
    if first is None:
        shown = shown[-limit:]
    else:
        begin = index_of(shown, first)
        shown = shown[begin : begin + limit]
    rows = (_binance_row(trade, spot=spot) for trade in show_page(request, shown))
    return Answer(f"[{','.join(rows)}]")


def _binance_row(trade: Trade, *, spot: bool) -> str:
    write = pad_decimals if spot else str
    market = trade.market
    value = decimal_text(trade.price * trade.quantity, market.price_decimals + market.lot_decimals)
    field = "quoteQty"
    if market.exchange == "binance_coinm":
        field, value = "baseQty", _base_quantity(trade)
    best = ',"isBestMatch":true' if spot else ""
    return (
        f'{{"id":{trade.trade_id},"price":"{write(price(trade))}",'
        f'"qty":"{write(quantity(trade))}","{field}":"{write(value)}",'
        f'"time":{trade.time_us // 1000},"isBuyerMaker":{_json_bool(not trade.bought)}{best}}}'
    )


def _base_quantity(trade: Trade) -> str:
    """Return what the contracts of a trade are worth in the base, with 8 decimals."""
    worth = 100 * trade.quantity * 10 ** (trade.market.price_decimals + 8)
    return decimal_text(worth // trade.price, 8)


def reply_kraken(request: RestRequest) -> Answer:
    """Answer a request to Kraken."""
    query = request.query
    if request.path != "0/public/Trades":
        raise refuse('{"error":["EGeneral:Unknown method"]}', HTTPStatus.OK)
    invalid = refuse('{"error":["EGeneral:Invalid arguments"]}', HTTPStatus.OK)
    pair = query.get("pair")
    if not pair:
        raise invalid
    native_symbol = kraken_name(request.venue, pair)
    if native_symbol is None:
        raise refuse('{"error":["EQuery:Unknown asset pair"]}', HTTPStatus.OK)
    limit = parse_limit(query, "count", 1000, 1000, invalid)
    since = parse_number(query, "since", invalid)
    page = show_page(request, _stamp_ns(request.trades(native_symbol), since, limit))
    rows = ",".join(_kraken_row(trade, time_ns) for trade, time_ns in page)
    last = page[-1][1] if page else since or 0
    return Answer(f'{{"error":[],"result":{{"{pair}":[{rows}],"last":"{last}"}}}}')


def kraken_name(venue: Venue, pair: str) -> str | None:
    """Return the native symbol of `BTC/USD`, `XBT/USD`, `XBTUSD` or `BTCUSD`; None if unknown."""
    base, slash, quote = pair.partition("/")
    if not slash:
        base, quote = pair[:-3], pair[-3:]
    native_symbol = f"{_KRAKEN_NAMES.get(base, base)}/{quote}"
    return native_symbol if venue.is_known(native_symbol) else None


def _stamp_ns(shown: Sequence[Trade], since: int | None, limit: int) -> list[tuple[Trade, int]]:
    """Return trades after a time, with distinct times in nanoseconds.

    Trades of the same microsecond get consecutive nanoseconds, so that no page ends among equals.
    """
    shown = sorted(shown, key=lambda trade: trade.time_us)  # a clock may have been stepped back
    begin = bisect_left(shown, (since or 0) // 1000, key=lambda trade: trade.time_us)
    timed, last_us, rank = [], 0, 0
    for trade in shown[begin:]:
        rank = rank + 1 if trade.time_us == last_us else 0
        last_us = trade.time_us
        time_ns = trade.time_us * 1000 + min(rank, 999)
        if since is None or time_ns > since:
            timed.append((trade, time_ns))
            if since is not None and len(timed) == limit:
                break
    return timed[-limit:]


def _kraken_row(trade: Trade, time_ns: int) -> str:
    scaled = trade.price * 10 ** max(5 - trade.market.price_decimals, 0)
    amount = decimal_text(scaled, max(5, trade.market.price_decimals))
    return (
        f'["{amount}","{quantity(trade)}",{decimal_text(time_ns // 100, 7)},'
        f'"{"b" if trade.bought else "s"}","{"l" if trade.limit else "m"}","",{trade.trade_id}]'
    )


def reply_coinbase(request: RestRequest) -> Answer:
    """Answer a request to Coinbase."""
    names, query = request.path.split("/"), request.query
    if len(names) != 3 or names[2] != "trades" or not request.venue.is_known(names[1]):
        raise refuse('{"message":"NotFound"}', HTTPStatus.NOT_FOUND)
    limit = parse_limit(query, "limit", 1000, 1000, refuse('{"message":"invalid limit"}'))
    cursor = refuse('{"message":"invalid cursor"}')
    before, after = parse_number(query, "before", cursor), parse_number(query, "after", cursor)
    # "Before" a page are newer trades: pages go from new to old.
    shown = request.trades(names[1])
    begin, end = (index_of(shown, first_id) for first_id in ((before or 0) + 1, after or _NEVER))
    page = show_page(request, shown[begin:end][-limit:])
    rows = ",".join(_coinbase_row(trade) for trade in reversed(page))
    ends = (page[-1], page[0]) if page else ()
    cursors = zip(("CB-BEFORE", "CB-AFTER"), ends, strict=False)
    return Answer(f"[{rows}]", headers={name: str(end.trade_id) for name, end in cursors})


def _coinbase_row(trade: Trade) -> str:
    return (
        f'{{"trade_id":{trade.trade_id},"side":"{"sell" if trade.bought else "buy"}",'
        f'"size":"{quantity(trade)}","price":"{price(trade)}","time":"{iso(trade.time_us)}"}}'
    )
