"""Rules of an exchange's list of markets over REST: declarations and pure functions."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from candlewax.exchanges.protocol.fields import FrameError, bad_shape, to_text


class MarketKind(StrEnum):
    """Kind of a market."""

    SPOT = "spot"
    PERPETUAL = "perpetual"
    FUTURE = "future"


class MarketStatus(StrEnum):
    """Status of a market: whether it has trades now, may have them again, or never will."""

    TRADING = "trading"
    SUSPENDED = "suspended"
    DELISTED = "delisted"


@dataclass(frozen=True)
class ListedMarket:
    """A market in an exchange's list.

    `native_symbol` is spelled as its websocket takes it; `symbol`, `base` and `quote` are unified.
    `contract_size` in `contract_unit` is the value of one contract: quantities of trades and
    volumes of candles are contracts. Both are None where quantities are in the base. `tick`: the
    step of prices. Both are texts of exact decimals.

    `price`: of the last trade. `turnover`: value of the trades of 24 hours, in the quote. None if
    the exchange does not tell.
    """

    native_symbol: str
    symbol: str
    base: str
    quote: str
    kind: MarketKind = MarketKind.SPOT
    contract_size: str | None = None
    contract_unit: str | None = None
    tick: str | None = None
    status: MarketStatus = MarketStatus.TRADING
    price: Decimal | None = None
    turnover: Decimal | None = None


class MarketError(FrameError):
    """Error of a market in a list that could not be read.

    `texts`: the texts of its row, as far as there are any. One of them may be its name.
    """

    def __init__(self, reason: str, detail: str, texts: Iterable[str] = ()) -> None:
        super().__init__(reason, detail)
        self.texts = frozenset(texts)


ListedMarkets = list[ListedMarket | MarketError]
"""Markets of a list, with an error for each that could not be read."""


@dataclass(frozen=True)
class MarketListRules:
    """Paths of an exchange's list of markets, and its parser.

    The requests go to the address of `RestRules`, one after another. `parse` takes the decoded
    responses in the order of `paths`, such as the markets and their tickers. It raises FrameError
    if a response has another form.
    """

    paths: tuple[str, ...]
    parse: Callable[[Sequence[Any]], ListedMarkets]


def read_each(rows: Iterable[Any], read: Callable[[Any], ListedMarket]) -> ListedMarkets:
    """Read each market by itself: one of a new form does not hide the others."""
    markets: ListedMarkets = []
    for row in rows:
        try:
            markets.append(read(row))
        except FrameError as error:
            markets.append(MarketError(error.reason, error.detail, _texts(row)))
    return markets


def _texts(row: Any) -> Iterator[str]:  # noqa: ANN401 - JSON may be anything
    """Yield the texts of a row: a text, an object, or the name of an object and the object."""
    for part in row if isinstance(row, tuple) else (row,):
        values = part.values() if isinstance(part, dict) else (part,)
        yield from (value for value in values if isinstance(value, str))


def rows_by_name(rows: Iterable[Any], field: str) -> dict[str, dict[str, Any]]:
    """Return the objects among rows by a field of theirs; rows without such a text are left out."""
    return {
        row[field]: row for row in rows if isinstance(row, dict) and isinstance(row.get(field), str)
    }


def require_text(row: Any, name: str) -> str:  # noqa: ANN401 - JSON may be anything
    """Return the text of a field that an object must have. Raises FrameError."""
    value = row.get(name) if isinstance(row, dict) else None
    if isinstance(value, str) and value:
        return value
    raise bad_shape(f"a text in field {name!r} of a market", row)


_MAX_DECIMALS: Final = 40


def require_split(
    split: tuple[str, str, str] | None, expected: str, native_symbol: str
) -> tuple[str, str, str]:
    """Return unified symbol, base and quote of a listed market. Raises FrameError without them."""
    if split is None:
        raise bad_shape(expected, native_symbol)
    return split


def market_status(*, is_trading: bool, is_delisted: bool = False) -> MarketStatus:
    """Return the status of a market; one that is neither trading nor delisted may trade again."""
    if is_delisted:
        return MarketStatus.DELISTED
    return MarketStatus.TRADING if is_trading else MarketStatus.SUSPENDED


_is_amount: Final = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?").fullmatch


def parse_amount(value: Any) -> Decimal | None:  # noqa: ANN401 - JSON may be anything
    """Return an amount, a text or a number of JSON; None for anything else."""
    text = to_text(value)
    return Decimal(text) if _is_amount(text) else None


def multiply(price: Decimal | None, volume: Decimal | None) -> Decimal | None:
    """Return the value of a volume at a price; None if one of them is not told."""
    return None if price is None or volume is None else price * volume


def parse_decimals(value: Any) -> str:  # noqa: ANN401 - JSON may be anything
    """Return the step of a number of decimals: 0.01 of 2. Raises FrameError."""
    if type(value) is not int or not 0 <= value <= _MAX_DECIMALS:
        raise bad_shape(f"a number of decimals from 0 to {_MAX_DECIMALS}", value)
    return f"{Decimal(1).scaleb(-value):f}"


def parse_step(value: Any) -> str | None:  # noqa: ANN401 - JSON may be anything
    """Return a tick or the size of a contract without idle zeros, such as 0.01; None if absent.

    Raises FrameError for anything but a positive decimal.
    """
    if value is None:
        return None
    amount = parse_amount(value)
    if not amount:
        raise bad_shape("a positive decimal", value)
    return f"{amount.normalize():f}"
