"""REST responses of each exchange, from its documentation."""

# Binance Spot API documentation, "Market Data endpoints", section "Old trade lookup".
BINANCE = (
    '[{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012",'
    '"time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]'
)
# Binance Derivatives documentation, "Old Trades Lookup".
USDM = (
    '[{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"8000.00",'
    '"time":1499865549590,"isBuyerMaker":true,"isRPITrade":true}]'
)
# Kraken API Center, "Get Recent Trades".
KRAKEN = (
    '{"error":[],"result":{"XXBTZUSD":['
    '["30243.40000","0.34507674",1688669597.8277369,"b","m","",61044952],'
    '["30243.30000","0.00376960",1688669598.2804112,"s","l","",61044953],'
    '["30243.30000","0.01235716",1688669602.698379,"s","m","",61044956]'
    '],"last":"1688671969993150842"}}'
)
# Coinbase Developer Documentation, Exchange REST API, "Get product trades".
COINBASE = (
    '[{"time":"2020-03-20T00:36:59.860Z","trade_id":86327327,"price":"6225.32000000",'
    '"size":"0.06469797","side":"sell"}]'
)
ANSWERS = {"binance": BINANCE, "binance_usdm": USDM, "kraken": KRAKEN, "coinbase": COINBASE}
NATIVES = {
    "binance": "BTCUSDT",
    "binance_usdm": "BTCUSDT",
    "kraken": "BTC/USD",
    "coinbase": "BTC-USD",
}
