"""Markets of the sample, with the decimals of prices and lots at each exchange."""

from dataclasses import replace
from typing import Final, NamedTuple

from candlewax.simulator.market.market import Market


class Asset(NamedTuple):
    """Price of an asset at the start in millionths of a dollar, and its share of an exchange's
    orders in thousandths.
    """

    price: int
    share: int


ASSETS: Final = {
    "BTC": Asset(71_240_550_000, 360),
    "ETH": Asset(2_105_370_000, 220),
    "SOL": Asset(88_640_000, 120),
    "XRP": Asset(1_421_800, 90),
    "DOGE": Asset(98_640, 55),
    "ADA": Asset(281_300, 40),
    "LINK": Asset(9_128_000, 32),
    "LTC": Asset(55_310_000, 24),
    "AVAX": Asset(9_437_000, 22),
    "DOT": Asset(1_553_000, 16),
    "ATOM": Asset(2_113_000, 10),
    "BNB": Asset(641_700_000, 30),
}

# Decimals of prices and of lots.
_BINANCE: Final = {
    "BTC": (2, 5),
    "ETH": (2, 4),
    "SOL": (2, 3),
    "XRP": (4, 1),
    "DOGE": (5, 0),
    "ADA": (4, 1),
    "LINK": (2, 2),
    "LTC": (2, 3),
    "AVAX": (2, 2),
    "DOT": (3, 2),
    "ATOM": (3, 2),
    "BNB": (2, 3),
}
_KRAKEN: Final = {
    "BTC": (1, 8),
    "ETH": (2, 8),
    "SOL": (2, 8),
    "XRP": (5, 8),
    "DOGE": (7, 8),
    "ADA": (6, 8),
    "LINK": (5, 8),
    "LTC": (2, 8),
    "AVAX": (2, 8),
    "DOT": (4, 8),
    "ATOM": (4, 8),
}
_COINBASE: Final = {
    "BTC": (2, 8),
    "ETH": (2, 8),
    "SOL": (2, 8),
    "XRP": (4, 6),
    "DOGE": (5, 1),
    "ADA": (4, 8),
    "LINK": (3, 2),
    "LTC": (2, 8),
    "AVAX": (2, 8),
    "DOT": (3, 8),
    "ATOM": (3, 2),
}

ORDINARY_VALUE: Final = 400_000_000
"""Value of an ordinary fill in millionths of a dollar."""

MILLION: Final = 1_000_000


def _market(
    exchange: str,
    assets: tuple[str, str],
    native_symbol: str,
    decimals: tuple[int, int],
    gap_us: int,
    first_id: int,
    premium: int,
) -> Market:
    base, quote = assets
    price_decimals, lot_decimals = decimals
    cost = ASSETS[base].price
    return Market(
        exchange=exchange,
        native_symbol=native_symbol,
        base=base,
        quote=quote,
        symbol=f"{base}/{quote}",
        price_decimals=price_decimals,
        lot_decimals=lot_decimals,
        price=cost * 10**price_decimals // MILLION,
        lots=max(ORDINARY_VALUE * 10**lot_decimals // cost, 1),
        gap_us=gap_us,
        first_id=first_id,
        premium=premium,
        dust=5_000 if (exchange, base) == ("kraken", "BTC") else 0,
    )


def _gap_us(order_us: int, asset: str) -> int:
    return order_us * 1_000 // ASSETS[asset].share


def spot_binance(order_us: int) -> list[Market]:
    """Return the markets of Binance spot; `order_us` is the mean time between two orders."""
    return [
        _market(
            "binance",
            (asset, "USDT"),
            f"{asset}USDT",
            decimals,
            _gap_us(order_us, asset),
            6_034_118_000 - 431_207_113 * i,
            420,
        )
        for i, (asset, decimals) in enumerate(_BINANCE.items())
    ]


def spot_kraken(order_us: int) -> list[Market]:
    """Return the markets of Kraken spot, named as in its API v2; `order_us` as for Binance."""
    return [
        _market(
            "kraken",
            (asset, "USD"),
            f"{asset}/USD",
            decimals,
            _gap_us(order_us, asset),
            97_214_350 - 8_117_019 * i,
            -60,
        )
        for i, (asset, decimals) in enumerate(_KRAKEN.items())
    ]


def spot_coinbase(order_us: int) -> list[Market]:
    """Return the markets of Coinbase spot; `order_us` as for Binance."""
    return [
        _market(
            "coinbase",
            (asset, "USD"),
            f"{asset}-USD",
            decimals,
            _gap_us(order_us, asset),
            1_012_663_480 - 84_220_167 * i,
            35,
        )
        for i, (asset, decimals) in enumerate(_COINBASE.items())
    ]


def _rename(market: Market, base: str) -> str:
    """Return the native symbol of a market with another base, in the same case."""
    native_symbol = market.native_symbol.replace(market.base, base)
    return native_symbol.replace(market.base.lower(), base.lower())


def make_markets(like: Market, count: int) -> list[Market]:
    """Return more markets of an exchange, for invented assets X00, X01, ..."""
    names = [f"X{number:02}" for number in range(count)]
    return [
        replace(
            like,
            native_symbol=_rename(like, name),
            base=name,
            symbol=f"{name}/{like.quote}",
            first_id=like.first_id + 10_000_019 * number,
        )
        for number, name in enumerate(names, 1)
    ]


USDM_BTC: Final = Market(
    exchange="binance_usdm",
    native_symbol="BTCUSDT",
    base="BTC",
    quote="USDT",
    symbol="BTC/USDT:USDT",
    price_decimals=1,
    lot_decimals=3,
    price=712_120,
    lots=6,
    gap_us=9_000_000,
    first_id=7_411_902_655,
    conditions=("INSURANCE_FUND", "NA", "ADL"),
)

COINM_BTC: Final = replace(
    USDM_BTC,
    exchange="binance_coinm",
    native_symbol="BTCUSD_PERP",
    quote="USD",
    symbol="BTC/USD:BTC",
    lot_decimals=0,
    lots=4,
    gap_us=14_000_000,
    first_id=1_155_839_735,
)
"""Market whose quantities are contracts of 100 USD."""

US_BTC: Final = replace(
    USDM_BTC,
    exchange="binance_us",
    symbol="BTC/USDT",
    price_decimals=2,
    lot_decimals=5,
    price=7_120_940,
    lots=410,
    gap_us=12_000_000,
    first_id=31_904_417,
    conditions=(),
)

KRAKEN_FUTURES: Final = [
    Market(
        exchange="kraken_futures",
        native_symbol=native_symbol,
        base=base,
        quote="USD",
        symbol=f"{base}/USD:USD",
        price_decimals=1,
        lot_decimals=lot_decimals,
        price=ASSETS[base].price * 10 // MILLION,
        lots=lots,
        gap_us=gap_us,
        first_id=first_id,
    )
    for native_symbol, base, lot_decimals, lots, gap_us, first_id in (
        ("PF_XBTUSD", "BTC", 4, 80, 16_000_000, 883_384),
        ("PF_ETHUSD", "ETH", 3, 300, 24_000_000, 421_131),
    )
]

BITFINEX: Final = [
    _market("bitfinex", (asset, "USD"), f"t{asset}USD", decimals, gap_us, first_id, 20)
    for asset, decimals, gap_us, first_id in (
        ("BTC", (1, 8), 16_000_000, 1_788_348_473),
        ("ETH", (2, 8), 24_000_000, 1_612_269_657),
    )
]

KRAKEN_EUR: Final = Market(
    exchange="kraken",
    native_symbol="XBT/EUR",
    base="BTC",
    quote="EUR",
    symbol="BTC/EUR",
    price_decimals=1,
    lot_decimals=8,
    price=604_870,
    lots=560_000,
    gap_us=19_000_000,
    first_id=1,
    has_ids=False,
)
"""Market on Kraken's API v1, which shows no trade id."""

COINBASE_CROSS: Final = Market(
    exchange="coinbase",
    native_symbol="ETH-BTC",
    base="ETH",
    quote="BTC",
    symbol="ETH/BTC",
    price_decimals=5,
    lot_decimals=8,
    price=2_955,
    lots=19_000_000,
    gap_us=31_000_000,
    first_id=41_305_117,
)
"""Market on Coinbase Exchange."""
