"""Markets of OKX: their symbols and their list over REST.

Source: OKX API guide (v5), "Public Data", "GET / Instruments"; "Market Data", "GET / Tickers".
"""

from collections.abc import Collection, Sequence
from itertools import chain
from typing import Any

from candlewax.exchanges.okx_rest import require_data
from candlewax.exchanges.protocol.dialect import Split
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    ListedMarkets,
    MarketKind,
    MarketListRules,
    market_status,
    multiply,
    parse_amount,
    parse_step,
    read_each,
    require_split,
    require_text,
    rows_by_name,
)
from candlewax.exchanges.protocol.symbols import split_at_separator


def split_symbol(native_symbol: str, _: Collection[str]) -> Split | None:
    """Split `BTC-USDT`, `BTC-USDT-SWAP` or `BTC-USD-220527` into unified symbol, base and quote.

    A swap or a future in USD is settled in its base, any other in its quote.
    """
    pair, dash, contract = native_symbol, "", ""
    if native_symbol.count("-") == 2:
        pair, dash, contract = native_symbol.rpartition("-")
    assets = split_at_separator(pair, "-", {})
    if assets is None:
        return None
    base, quote = assets
    if not dash:
        return f"{base}/{quote}", base, quote
    settle = {"USD": base, "USDT": quote, "USDC": quote}.get(quote)
    is_dated = len(contract) == 6 and contract.isascii() and contract.isdigit()
    if settle is None or not (contract == "SWAP" or is_dated):
        return None
    return f"{base}/{quote}:{settle}{f'-{contract}' if is_dated else ''}", base, quote


def parse_markets(answers: Sequence[Any]) -> ListedMarkets:
    """Read the instruments of spot and of swaps, then their tickers.

    {"code":"0","data":[{"instId":"BTC-USDT-SWAP","ctVal":"0.01","ctValCcy":"BTC","tickSz":"0.1",
      "state":"live"}]}
    {"code":"0","data":[{"instId":"BTC-USDT-SWAP","last":"56956.1","volCcy24h":"2222"}]}

    volCcy24h is the value in the quote for spot, the volume in the base for swaps.
    """
    lists = [require_data(answer, "markets") for answer in answers]
    instruments, tickers = lists[: len(lists) // 2], lists[len(lists) // 2 :]
    days = rows_by_name(chain(*tickers), "instId")

    def read(row: Any) -> ListedMarket:  # noqa: ANN401 - JSON may be anything
        native_symbol = require_text(row, "instId")
        expected = "a symbol such as BTC-USDT or BTC-USDT-SWAP"
        split = require_split(split_symbol(native_symbol, ()), expected, native_symbol)
        day, is_swap = days.get(native_symbol, {}), native_symbol.endswith("-SWAP")
        price, volume = (parse_amount(day.get(name)) for name in ("last", "volCcy24h"))
        return ListedMarket(
            native_symbol,
            *split,
            kind=MarketKind.PERPETUAL if is_swap else MarketKind.SPOT,
            contract_size=parse_step(row.get("ctVal")) if is_swap else None,
            contract_unit=require_text(row, "ctValCcy") if is_swap else None,
            tick=parse_step(row.get("tickSz")),
            status=market_status(is_trading=row.get("state") == "live"),
            price=price,
            turnover=multiply(price, volume) if is_swap else volume,
        )

    return read_each(chain(*instruments), read)


MARKETS = MarketListRules(
    tuple(
        f"/api/v5/{path}?instType={kind}"
        for path in ("public/instruments", "market/tickers")
        for kind in ("SPOT", "SWAP")
    ),
    parse_markets,
)
