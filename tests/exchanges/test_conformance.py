"""Binance, Kraken and Coinbase pass the conformance suite, by frames from their documentation."""

from candlewax.exchanges.protocol.rest import RestErrorKind
from candlewax.exchanges.protocol.websocket import Kind
from tests.exchanges.conformance import Conformance, Declared, Trade
from tests.support.decoding import at, ms

_BINANCE_CONTROLS = {
    '{"result":null,"id":1}': Kind.ACK,
    '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}': Kind.SHUTDOWN,
    '{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","s":"BTCUSDT","a":1}}': Kind.OTHER,
}
_BINANCE_REFUSAL = '{"code":2,"msg":"Invalid request: unknown stream","id":1}'
_BINANCE_ERRORS = (
    (400, '{"code":-1121,"msg":"Invalid symbol."}', RestErrorKind.PERMANENT),
    (401, '{"code":-2014,"msg":"API-key format invalid."}', RestErrorKind.KEY_REQUIRED),
    (429, '{"code":-1003,"msg":"Too many requests."}', RestErrorKind.RATE_LIMITED),
    (418, "", RestErrorKind.RATE_LIMITED),
    (503, "<html>", RestErrorKind.FAILED),
)


class TestBinance(Conformance):
    """Binance spot."""

    declared = Declared(
        "binance",
        "BTCUSDT",
        "BTC/USDT",
        frames=(
            '{"stream":"btcusdt@trade","data":{"e":"trade","E":1672515782136,"s":"BTCUSDT",'
            '"t":12345,"p":"16500.12000000","q":"0.00100000","T":1672515782135,"m":true,"M":true}}',
            '{"stream":"btcusdt@trade","data":{"e":"trade","E":1672515782140,"s":"BTCUSDT",'
            '"t":12346,"p":"16500.13000000","q":"2.00000000","T":1672515782139,"m":false,"M":true}}',
        ),
        trades=(
            Trade("12345", ms(1672515782135), "SELL", "16500.12", "0.001"),
            Trade("12346", ms(1672515782139), "BUY", "16500.13", "2"),
        ),
        is_numbered=True,
        controls=_BINANCE_CONTROLS,
        refusal=_BINANCE_REFUSAL,
        unknown="NOPEUSDT",
        refuses_unknown=False,
        malformed={'{"e":"trade","s":"BTCUSDT"}': "bad_shape", "{": "bad_json", "": "empty_frame"},
        response=(
            '[{"id":12345,"price":"16500.12000000","qty":"0.00100000","quoteQty":"16.50012000",'
            '"time":1672515782135,"isBuyerMaker":true,"isBestMatch":true},'
            '{"id":12346,"price":"16500.13000000","qty":"2.00000000","quoteQty":"33000.26000000",'
            '"time":1672515782139,"isBuyerMaker":false,"isBestMatch":true}]'
        ),
        rest_errors=_BINANCE_ERRORS,
    )


class TestBinanceUsdm(Conformance):
    """Binance USD-M futures."""

    declared = Declared(
        "binance_usdm",
        "BTCUSDT",
        "BTC/USDT:USDT",
        frames=(
            '{"stream":"btcusdt@trade","data":{"e":"trade","E":1721347202808,"T":1721347202807,'
            '"s":"BTCUSDT","t":5182006711,"p":"63960.00","q":"0.310","X":"MARKET","m":false}}',
            '{"stream":"btcusdt@trade","data":{"e":"trade","E":1721347202809,"T":1721347202808,'
            '"s":"BTCUSDT","t":5182006712,"p":"63959.90","q":"1","X":"MARKET","m":true,"st":1}}',
        ),
        trades=(
            Trade("5182006711", ms(1721347202807), "BUY", "63960", "0.31"),
            Trade("5182006712", ms(1721347202808), "SELL", "63959.9", "1"),
        ),
        is_numbered=True,
        controls=_BINANCE_CONTROLS,
        refusal=_BINANCE_REFUSAL,
        unknown="NOPEUSDT",
        refuses_unknown=False,
        malformed={'{"e":"trade","s":"BTCUSDT"}': "bad_shape", "[": "bad_json"},
        response=(
            '[{"id":5182006711,"price":"63960.00","qty":"0.310","quoteQty":"19827.60",'
            '"time":1721347202807,"isBuyerMaker":false,"isRPITrade":false},'
            '{"id":5182006712,"price":"63959.90","qty":"1","quoteQty":"63959.90",'
            '"time":1721347202808,"isBuyerMaker":true,"isRPITrade":false}]'
        ),
        rest_errors=_BINANCE_ERRORS,
    )


class TestKraken(Conformance):
    """Kraken, protocol v2."""

    declared = Declared(
        "kraken",
        "BTC/USD",
        "BTC/USD",
        frames=(
            '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell",'
            '"price":30243.4,"qty":0.34507674,"ord_type":"market","trade_id":61044952,'
            '"timestamp":"2023-07-06T18:53:17.827736Z"},{"symbol":"BTC/USD","side":"buy",'
            '"price":30243.5,"qty":0.00000001,"ord_type":"limit","trade_id":61044953,'
            '"timestamp":"2023-07-06T18:53:18.280411Z"}]}',
        ),
        trades=(
            Trade("61044952", at("2023-07-06T18:53:17.827736"), "SELL", "30243.4", "0.34507674"),
            Trade("61044953", at("2023-07-06T18:53:18.280411"), "BUY", "30243.5", "0.00000001"),
        ),
        is_numbered=True,
        controls={
            '{"channel":"heartbeat"}': Kind.HEARTBEAT,
            '{"channel":"status","type":"update","data":[{"system":"online"}]}': Kind.OTHER,
            '{"method":"subscribe","req_id":1,"result":{"channel":"trade","symbol":"BTC/USD"},'
            '"success":true}': Kind.ACK,
        },
        refusal=(
            '{"error":"Currency pair not supported FOO/USD","method":"subscribe","req_id":1,'
            '"success":false,"symbol":"FOO/USD"}'
        ),
        unknown="NOPE/USD",
        malformed={
            '{"channel":"trade","type":"update","data":{}}': "bad_shape",
            '{"channel":"trade"': "bad_json",
        },
        response=(
            '{"error":[],"result":{"XXBTZUSD":['
            '["30243.40000","0.34507674",1688669597.8277362,"s","m","",61044952],'
            '["30243.50000","0.00000001",1688669598.2804112,"b","l","",61044953]],'
            '"last":"1688669598280411200"}}'
        ),
        rest_errors=(
            (200, '{"error":["EAPI:Rate limit exceeded"]}', RestErrorKind.RATE_LIMITED),
            (200, '{"error":["EQuery:Unknown asset pair"]}', RestErrorKind.PERMANENT),
            (200, '{"error":["EService:Unavailable"]}', RestErrorKind.FAILED),
            (502, "", RestErrorKind.FAILED),
        ),
    )


class TestCoinbase(Conformance):
    """Coinbase, Advanced Trade."""

    declared = Declared(
        "coinbase",
        "BTC-USD",
        "BTC/USD",
        frames=(
            '{"channel":"market_trades","timestamp":"2026-09-30T02:39:59.615767928Z",'
            '"sequence_num":249,"events":[{"type":"update","trades":[{"product_id":"BTC-USD",'
            '"trade_id":"1100253573","price":"83320.66","size":"0.0041608",'
            '"time":"2026-09-30T02:39:59.416138Z","side":"SELL"}]}]}',
            '{"channel":"market_trades","timestamp":"2026-09-30T02:40:00.615767928Z",'
            '"sequence_num":250,"events":[{"type":"update","trades":[{"product_id":"BTC-USD",'
            '"trade_id":"1100253574","price":"83320.65","size":"1",'
            '"time":"2026-09-30T02:40:00.416138Z","side":"BUY"}]}]}',
        ),
        # The side sent is the maker's.
        trades=(
            Trade("1100253573", at("2026-09-30T02:39:59.416138"), "BUY", "83320.66", "0.0041608"),
            Trade("1100253574", at("2026-09-30T02:40:00.416138"), "SELL", "83320.65", "1"),
        ),
        is_numbered=True,
        controls={
            '{"channel":"heartbeats","timestamp":"2023-06-23T20:31:26Z","sequence_num":0,'
            '"events":[{"current_time":"2023-06-23","heartbeat_counter":"3049"}]}': Kind.HEARTBEAT,
            '{"channel":"subscriptions","timestamp":"2023-02-09T20:33:57Z","sequence_num":1,'
            '"events":[{"subscriptions":{"market_trades":["BTC-USD"]}}]}': Kind.ACK,
        },
        refusal='{"type":"error","message":"no such product: NOPE-USD"}',
        unknown="NOPE-USD",
        malformed={'{"channel":"market_trades","events":[{}]}': "bad_shape", "nope": "bad_json"},
        response=(
            '[{"trade_id":1100253574,"side":"buy","size":"1","price":"83320.65",'
            '"time":"2026-09-30T02:40:00.416138Z"},{"trade_id":1100253573,"side":"sell",'
            '"size":"0.0041608","price":"83320.66","time":"2026-09-30T02:39:59.416138Z"}]'
        ),
        rest_errors=(
            (404, '{"message":"NotFound"}', RestErrorKind.PERMANENT),
            (429, '{"message":"Public rate limit exceeded"}', RestErrorKind.RATE_LIMITED),
            (500, "", RestErrorKind.FAILED),
        ),
    )
