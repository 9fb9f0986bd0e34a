"""Trade formats declared by the names of their fields."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from candlewax.exchanges.protocol.dialect import BUY, SELL, Dialect, Meaning, Spelling, TradeIds
from candlewax.exchanges.protocol.fields import Fields, NativeTrade
from candlewax.exchanges.protocol.times import MILLISECONDS, TimeForm


class Condition(NamedTuple):
    """Condition of a trade, null for an ordinary one: as a column, and of one native trade."""

    column: pl.Expr
    of: Callable[[NativeTrade], str | None]


@dataclass(frozen=True)
class TradeFormat:
    """Names of the native fields with the meanings of `Dialect`, and how their texts are read.

    `sides`: values of the field `side`; `side_expected`: the text expected there, if their names do
    not say it. `number`: a field that counts the trades, if that is not `trade_id`. `redundant`:
    fields that repeat others, and are no vendor data. `symbol_prefix` is cut off.
    `has_signed_quantity`: the taker sold if the quantity has a minus sign, and bought otherwise;
    `side` is the same field, and `sides` are not used.
    """

    native_symbol: str
    trade_id: str
    time: str
    side: str
    price: str
    quantity: str
    time_form: TimeForm = MILLISECONDS
    sides: Mapping[str, int] = field(default_factory=lambda: {"buy": BUY, "sell": SELL})
    side_expected: str = ""
    number: str | None = None
    condition: Condition | None = None
    trade_ids: TradeIds = TradeIds.NUMBERED
    redundant: Collection[str] = ()
    symbol_prefix: str = ""
    has_signed_quantity: bool = False

    def dialect(self, shape: Fields) -> Dialect:
        """Return the dialect of native trades of a shape."""
        own = {self.native_symbol, self.trade_id, self.time, self.side, self.price, self.quantity}
        numbers = {self.number} if self.number else set()
        expected = self.side_expected or " or ".join(self.sides)
        return Dialect(
            shape,
            self._columns(),
            self._interpreter(),
            mapped=frozenset({*own, *numbers, *self.redundant}),
            spellings={
                "time": Spelling(self.time, self.time_form.expected),
                "side": Spelling(self.side, expected),
            },
            trade_ids=self.trade_ids,
        )

    def _columns(self) -> dict[str, pl.Expr]:
        quantity = pl.col(self.quantity)
        columns = {
            "native_symbol": pl.col(self.native_symbol).str.strip_prefix(self.symbol_prefix),
            "trade_id": pl.col(self.trade_id),
            "time": self.time_form.column(self.time),
            "side": self._side_column(),
            "price": pl.col(self.price),
            "quantity": quantity.str.strip_prefix("-") if self.has_signed_quantity else quantity,
            "condition": self.condition.column if self.condition else pl.lit(None, pl.String),
        }
        return columns | ({"number": pl.col(self.number)} if self.number else {})

    def _side_column(self) -> pl.Expr:
        side = pl.col(self.side)
        if self.has_signed_quantity:
            return pl.when(side.str.starts_with("-")).then(SELL).otherwise(BUY).cast(pl.Int8)
        return side.replace_strict(dict(self.sides), default=None, return_dtype=pl.Int8)

    def _interpreter(self) -> Callable[[NativeTrade], Meaning]:
        # Names of this function, as it runs once a trade.
        symbol, trade_id, time, side = self.native_symbol, self.trade_id, self.time, self.side
        price, quantity, number, prefix = (
            self.price, self.quantity, self.number, self.symbol_prefix,
        )  # fmt: skip
        parse_time = self.time_form.parse
        side_of = _side_of_sign if self.has_signed_quantity else self.sides.get
        sign = "-" if self.has_signed_quantity else ""
        condition_of = self.condition.of if self.condition else None

        def interpret(trade: NativeTrade) -> Meaning:
            return Meaning(
                trade[symbol].removeprefix(prefix),
                trade[trade_id],
                parse_time(trade[time]),
                side_of(trade[side]),
                trade[price],
                trade[quantity].removeprefix(sign),
                condition_of(trade) if condition_of else None,
                trade[number] if number else None,
            )

        return interpret


def _side_of_sign(quantity: str) -> int:
    return SELL if quantity.startswith("-") else BUY
