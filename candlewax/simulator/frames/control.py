"""Frames without trades, as the exchanges send them."""

import json
from collections.abc import Sequence

from candlewax.simulator.frames.trades import iso, pad_decimals, price, quantity
from candlewax.simulator.market.market import Trade

KRAKEN_HEARTBEAT = '{"channel":"heartbeat"}'
KRAKEN_V1_HEARTBEAT = '{"event":"heartbeat"}'


def binance_ack(number: object, result: Sequence[str] | None = None) -> str:
    """Return the answer to a request, whose id may be a number or a text."""
    return f'{{"result":{_json(result)},"id":{_json(number)}}}'


def binance_error(code: int, message: str, number: object) -> str:
    """Return the answer to a request that cannot be read."""
    return f'{{"error":{{"code":{code},"msg":{_json(message)}}},"id":{_json(number)}}}'


def binance_shutdown(time_us: int) -> str:
    """Return the announcement that the connection will end."""
    return f'{{"event":{{"e":"serverShutdown","E":{time_us // 1000}}}}}'


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def binance_kline(trade: Trade, sent_us: int) -> str:
    """Return a forming candle of the exchange after its first trade."""
    name, amount = trade.market.native_symbol, pad_decimals(price(trade))
    begin_ms = trade.time_us // 60_000_000 * 60_000
    return (
        f'{{"stream":"{name.lower()}@kline_1m","data":{{"e":"kline","E":{sent_us // 1000},'
        f'"s":"{name}","k":{{"t":{begin_ms},"T":{begin_ms + 59_999},"s":"{name}","i":"1m",'
        f'"f":{trade.trade_id},"L":{trade.trade_id},"o":"{amount}","c":"{amount}",'
        f'"h":"{amount}","l":"{amount}","v":"{pad_decimals(quantity(trade))}","n":1,"x":false}}}}}}'
    )


def binance_book_ticker(trade: Trade, sent_us: int) -> str:  # noqa: ARG001 - the frame has no time
    """Return the best bid and ask; on spot without an event type."""
    name, lot = trade.market.native_symbol, pad_decimals(quantity(trade))
    above = pad_decimals(price(trade._replace(price=trade.price + 1)))
    return (
        f'{{"stream":"{name.lower()}@bookTicker","data":{{"u":{9 * trade.trade_id},"s":"{name}",'
        f'"b":"{pad_decimals(price(trade))}","B":"{lot}","a":"{above}","A":"{lot}"}}}}'
    )


def binance_depth(trade: Trade, sent_us: int) -> str:
    """Return a change of the order book."""
    name, last = trade.market.native_symbol, 9 * trade.trade_id
    bid = pad_decimals(price(trade))
    return (
        f'{{"stream":"{name.lower()}@depth@100ms","data":{{"e":"depthUpdate","E":{sent_us // 1000},'
        f'"s":"{name}","U":{last - 8},"u":{last},"b":[["{bid}","0.00000000"]],'
        '"a":[]}}'
    )


def kraken_status(connection: int) -> str:
    """Return the first frame of Kraken v2."""
    return (
        '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online",'
        f'"api_version":"v2","connection_id":{connection}}}]}}'
    )


def kraken_ack(symbol: str, time_us: int, req_id: int | None = None) -> str:
    """Return the answer to a subscription of v2, with the request's number if it had one."""
    return (
        f'{{"method":"subscribe",{_request_field(req_id)}"result":{{"channel":"trade","snapshot":true,'
        f'"symbol":"{symbol}"}},"success":true,{_time_fields(time_us)}}}'
    )


def kraken_unsubscribed(symbol: str, time_us: int, req_id: int | None) -> str:
    """Return the answer to the end of a subscription of v2."""
    return (
        f'{{"method":"unsubscribe",{_request_field(req_id)}"result":{{"channel":"trade",'
        f'"symbol":"{symbol}"}},"success":true,{_time_fields(time_us)}}}'
    )


def kraken_refusal(
    error: str, method: str, time_us: int, req_id: int | None, symbol: str | None = None
) -> str:
    """Return the answer of v2 to a request that it refuses."""
    symbol_field = f'"symbol":{_json(symbol)},' if symbol is not None else ""
    return (
        f'{{"error":{_json(error)},"method":{_json(method)},{_request_field(req_id)}'
        f'"success":false,{symbol_field}{_time_fields(time_us)}}}'
    )


def kraken_pong(time_us: int, req_id: int | None) -> str:
    """Return the answer of v2 to a ping."""
    return f'{{"method":"pong",{_request_field(req_id)}{_time_fields(time_us)}}}'


def _request_field(req_id: int | None) -> str:
    return "" if req_id is None else f'"req_id":{req_id},'


def _time_fields(time_us: int) -> str:
    return f'"time_in":"{iso(time_us)}","time_out":"{iso(time_us + 37)}"'


def kraken_v1_status(connection: int) -> str:
    """Return the first frame of Kraken v1."""
    return (
        f'{{"connectionID":{connection},"event":"systemStatus","status":"online",'
        '"version":"1.9.6"}'
    )


def kraken_v1_ack(pair: str) -> str:
    """Return the answer to a subscription of v1."""
    return (
        '{"channelID":337,"channelName":"trade","event":"subscriptionStatus",'
        f'"pair":"{pair}","status":"subscribed","subscription":{{"name":"trade"}}}}'
    )


def coinbase_subscriptions(
    products: Sequence[str], time_us: int, sequence: int, *, has_heartbeats: bool = False
) -> str:
    """Return the list of subscriptions of Advanced Trade."""
    channels = {"market_trades": list(products)} if products or not has_heartbeats else {}
    channels |= {"heartbeats": ["heartbeats"]} if has_heartbeats else {}
    return (
        f'{{"channel":"subscriptions","client_id":"","timestamp":"{iso(time_us)}",'
        f'"sequence_num":{sequence},"events":[{{"subscriptions":{_json(channels)}}}]}}'
    )


def coinbase_error(message: str, reason: str) -> str:
    """Return the answer of Advanced Trade to a request that it refuses."""
    return f'{{"type":"error","message":{_json(message)},"reason":{_json(reason)}}}'


def coinbase_heartbeat(time_us: int, sequence: int, counter: int) -> str:
    """Return a heartbeat of Advanced Trade."""
    now = iso(time_us).replace("T", " ").removesuffix("Z")
    return (
        f'{{"channel":"heartbeats","client_id":"","timestamp":"{iso(time_us)}",'
        f'"sequence_num":{sequence},"events":[{{"current_time":"{now} +0000 UTC m=+{counter}.5",'
        f'"heartbeat_counter":"{counter}"}}]}}'
    )


def coinbase_exchange_subscriptions(products: Sequence[str]) -> str:
    """Return the list of subscriptions of Coinbase Exchange."""
    names = ",".join(f'"{name}"' for name in products)
    return f'{{"type":"subscriptions","channels":[{{"name":"matches","product_ids":[{names}]}}]}}'
