"""Frames that are no trades, as the exchanges send them."""

from collections.abc import Sequence

from candlewax.simulator.frames import iso


def binance_ack(number: int) -> str:
    """The answer to a subscription."""
    return f'{{"result":null,"id":{number}}}'


def binance_kline(name: str, minute_us: int, price: str) -> str:
    """A candle that nobody asked to keep."""
    ms = minute_us // 1000
    return (
        f'{{"stream":"{name.lower()}@kline_1m","data":{{"e":"kline","E":{ms + 2013},"s":"{name}",'
        f'"k":{{"t":{ms},"T":{ms + 59_999},"s":"{name}","i":"1m","o":"{price}","c":"{price}",'
        f'"h":"{price}","l":"{price}","v":"0.00000000","n":0,"x":false}}}}}}'
    )


def kraken_status(time_us: int) -> str:
    """What Kraken v2 says first."""
    return (
        '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online",'
        f'"api_version":"v2","connection_id":{time_us}}}]}}'
    )


def kraken_ack(symbol: str, time_us: int) -> str:
    """The answer to a subscription of v2."""
    return (
        '{"method":"subscribe","result":{"channel":"trade","snapshot":true,'
        f'"symbol":"{symbol}"}},"success":true,"time_in":"{iso(time_us)}",'
        f'"time_out":"{iso(time_us + 37)}"}}'
    )


KRAKEN_HEARTBEAT = '{"channel":"heartbeat"}'
KRAKEN_V1_HEARTBEAT = '{"event":"heartbeat"}'


def kraken_v1_ack(pair: str) -> str:
    """The answer to a subscription of v1."""
    return (
        '{"channelID":337,"channelName":"trade","event":"subscriptionStatus",'
        f'"pair":"{pair}","status":"subscribed","subscription":{{"name":"trade"}}}}'
    )


def coinbase_subscriptions(products: Sequence[str], time_us: int) -> str:
    """What Advanced Trade says is subscribed."""
    names = ",".join(f'"{name}"' for name in products)
    return (
        f'{{"channel":"subscriptions","client_id":"","timestamp":"{iso(time_us)}",'
        f'"sequence_num":0,"events":[{{"subscriptions":{{"market_trades":[{names}]}}}}]}}'
    )


def coinbase_heartbeat(time_us: int, counter: int) -> str:
    """Advanced Trade's sign of life."""
    return (
        f'{{"channel":"heartbeats","client_id":"","timestamp":"{iso(time_us)}",'
        f'"sequence_num":{counter},"events":[{{"current_time":"{iso(time_us)}",'
        f'"heartbeat_counter":"{counter}"}}]}}'
    )


def coinbase_exchange_subscriptions(product: str) -> str:
    """What Coinbase Exchange says is subscribed."""
    return (
        f'{{"type":"subscriptions","channels":[{{"name":"matches","product_ids":["{product}"]}}]}}'
    )
