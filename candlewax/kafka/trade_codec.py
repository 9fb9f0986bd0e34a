"""Codecs of the values of the normalized topic."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import polars as pl

from candlewax.core.rows import messages as rows
from candlewax.core.rows.messages import Outage, ParsedRows
from candlewax.core.rows.records import Trade
from candlewax.core.trades import messages as columns
from candlewax.core.trades.messages import ParsedMessages


class TradeCodec(Protocol):
    """Conversion of trades to values of messages and back, of columns and of rows.

    Both forms give the same bytes, and read the same trades and faults.
    """

    def encode(self, trades: pl.DataFrame, /) -> list[Any]:
        """Return the values of trades.

        Input: TRADES with vendor columns, OUTAGES_COLUMN, KIND_COLUMN and SHARDS_COLUMN.
        """

    def encode_rows(
        self,
        exchange: str,
        trades: Sequence[Trade],
        outages: Iterable[Outage],
        kind: str,
        shards: int,
        /,
    ) -> list[Any]:
        """Return the values of the trades of a batch.

        `kind` is empty and `shards`, the number of shards of the exchange, 0 if they are unknown.
        """

    def decode(self, values: Sequence[bytes], /) -> ParsedMessages:
        """Return the trades of values, and the faults of the others."""

    def decode_rows(self, values: Sequence[bytes], /) -> ParsedRows:
        """As `decode`, trade by trade."""


class JsonCodec:
    """TradeCodec of values in JSON."""

    encode = staticmethod(columns.to_json)
    encode_rows = staticmethod(rows.to_json)
    decode = staticmethod(columns.from_json)
    decode_rows = staticmethod(rows.from_json)
