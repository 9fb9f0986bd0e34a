"""Registry of the exchanges; each has a module of its own."""

from candlewax.exchanges.binance import BINANCE
from candlewax.exchanges.binance_coinm import BINANCE_COINM
from candlewax.exchanges.binance_us import BINANCE_US
from candlewax.exchanges.binance_usdm import BINANCE_USDM
from candlewax.exchanges.bitfinex import BITFINEX
from candlewax.exchanges.bitstamp import BITSTAMP
from candlewax.exchanges.bybit import BYBIT, BYBIT_LINEAR
from candlewax.exchanges.coinbase import COINBASE
from candlewax.exchanges.gemini import GEMINI
from candlewax.exchanges.kraken import KRAKEN
from candlewax.exchanges.kraken_futures import KRAKEN_FUTURES
from candlewax.exchanges.okx import OKX
from candlewax.exchanges.protocol.dialect import Exchange

EXCHANGES: dict[str, Exchange] = {
    exchange.id: exchange
    for exchange in (
        BINANCE,
        BINANCE_USDM,
        BINANCE_COINM,
        BINANCE_US,
        KRAKEN,
        COINBASE,
        OKX,
        BYBIT,
        BYBIT_LINEAR,
        KRAKEN_FUTURES,
        BITFINEX,
        BITSTAMP,
        GEMINI,
    )
}


def counts_trades(exchange: str) -> bool:
    """Return whether numbers show which trades of an exchange are missing; True of unknown ones."""
    return exchange not in EXCHANGES or EXCHANGES[exchange].counts_trades


__all__ = ["EXCHANGES", "Exchange", "counts_trades"]
