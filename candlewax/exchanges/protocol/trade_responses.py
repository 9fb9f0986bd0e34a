"""Readers of REST responses with trades, declared by the format of their rows."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from candlewax.exchanges.protocol.dialect import Dialect, Reading
from candlewax.exchanges.protocol.fields import (
    Fields,
    FrameError,
    NativeTrade,
    bad_shape,
    try_read,
)
from candlewax.exchanges.protocol.rest import NATIVE_SYMBOL, Page, build_page, read_row
from candlewax.exchanges.protocol.trade_format import TradeFormat

_is_number: Final = re.compile(r"[0-9]{1,20}").fullmatch


@dataclass(frozen=True)
class TradeResponses:
    """Responses with trades of one market: the format and the fields of their rows.

    The rows need not hold the symbol, as it is the requested one. `list_rows` returns the rows of a
    decoded response, and takes the word for them that its FrameError uses. `number`: the field with
    the trade's number, for an exchange that pages by number; a row with another text there cannot
    be read. `is_newest_first`: the rows are turned around, as ids do not give their order.
    """

    format: TradeFormat
    fields: Fields
    list_rows: Callable[[Any, str], list[Any]]
    number: str | None = None
    is_newest_first: bool = False

    @cached_property
    def dialect(self) -> Dialect:
        """Dialect of the rows. A symbol in them repeats the requested one: it is no vendor data."""
        redundant = {*self.format.redundant, self.format.native_symbol}
        response_format = replace(self.format, native_symbol=NATIVE_SYMBOL, redundant=redundant)
        return response_format.dialect(self.fields)

    def read(self, native_symbol: str, content: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
        """Read the trades of a response, as `Exchange.read_response`. Raises FrameError."""
        rows = self.list_rows(content, "trades")
        ordered = reversed(rows) if self.is_newest_first else rows
        return self.dialect, [read_row(row, self.fields, native_symbol) for row in ordered]

    def parse_page(self, content: Any) -> Page:  # noqa: ANN401 - JSON may be anything
        """Read the numbers and times of a response. Numbers are 0 where trades have none.

        Raises FrameError.
        """
        return build_page(
            map(self._try_row, self.list_rows(content, "trades")),
            lambda trade: int(trade[self.number]) if self.number else 0,
            lambda trade: self.format.time_form.parse(trade[self.format.time]),
        )

    def _try_row(self, row: Any) -> NativeTrade | FrameError:  # noqa: ANN401 - JSON may be anything
        trade = try_read(row, self.fields)
        if self.number is None or isinstance(trade, FrameError) or _is_number(trade[self.number]):
            return trade
        return bad_shape(f"a number in field {self.number!r}", trade[self.number])
