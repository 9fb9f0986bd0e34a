"""Layers of the cold tier: each table of the archive, and the warm relation it is filled from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from candlewax.cold.columns import (
    BINANCE,
    CANDLES,
    COINBASE,
    CONTRADICTIONS,
    DEAD_LETTERS,
    FRAMES,
    GAPS,
    KRAKEN,
    MARKET_OUTAGES,
    NUMBERINGS,
    OUTAGES,
    REVISIONS,
    TRADES,
    WATERMARKS,
    Column,
)

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

SCHEMA_VERSION: Final = 1
"""Version of the columns and of their meaning, written into every file of the archive."""


@dataclass(frozen=True)
class Layer:
    """A table of the cold tier.

    `source` is the warm table or view, `condition` selects the rows that are kept. Rows belong to
    units: by exchange, and by the hour or day (`span`) of `time`. Without a `span` all rows of an
    exchange are one unit. `changed` is the column of our clock that shows which units have new
    rows, in the table `changed_in`; None: the layer is compared whole, once an hour. `clocks` are
    columns of our clock, which the content hash leaves out, as storing a row again changes them.
    `key` identifies a row. Of a warm and a cold row with one key the warm one counts, or, if there
    is a `rank`, the one whose rank is greater, as in the warm table. Rows that `can_leave` stay
    warm for as long as the settings say; others for ever. `partition` is the transform of `time`
    that divides the table.
    """

    name: str
    source: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    sort: tuple[str, ...]
    time: str | None = None
    span: timedelta | None = None
    partition: str | None = None
    changed: str | None = None
    changed_in: str = ""
    condition: str = "1"
    clocks: tuple[str, ...] = ()
    exchanges: tuple[str, ...] = ()
    can_leave: bool = False
    is_table: bool = True
    rank: str = ""

    @property
    def namespace(self) -> str:
        """Namespace of the table in the catalog: raw, bronze, silver, gold or meta."""
        return self.name.partition(".")[0]

    @property
    def table(self) -> str:
        """Name of the table within its namespace."""
        return self.name.partition(".")[2]

    @property
    def relation(self) -> str:
        """Warm rows, each once."""
        return f"{self.source} FINAL" if self.is_table else self.source

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns, in order."""
        return tuple(column.name for column in self.columns)


_FRAME_PLACE: Final = ("source", "source_partition", "source_offset")
_FRAME_KEY: Final = ("exchange", "connection", "received_at", *_FRAME_PLACE, "received_ns")
_BRONZE_KEY: Final = (
    "exchange", "connection", "received_at", *_FRAME_PLACE, "source_index"
)  # fmt: skip
_CANDLE_KEY: Final = ("timeframe", "exchange", "symbol", "window_start")


def _bronze(
    name: str, columns: tuple[Column, ...], exchanges: tuple[str, ...], sort: tuple[str, ...]
) -> Layer:
    view = f"bronze_trades_{name}"
    return Layer(
        f"bronze.trades_{name}", view, columns, _BRONZE_KEY, (*sort, *_BRONZE_KEY[1:]),
        "received_at", HOUR, "day", "inserted_at", "bronze_frames", exchanges=exchanges,
        is_table=False,
    )  # fmt: skip


def _meta(
    name: str,
    columns: tuple[Column, ...],
    key: tuple[str, ...],
    clock: str = "inserted_at",
    rank: str = "",
) -> Layer:
    return Layer(f"meta.{name}", name, columns, key, key[1:], clocks=(clock,), rank=rank)


LAYERS: Final[Mapping[str, Layer]] = {
    layer.name: layer
    for layer in (
        Layer(
            "raw.frames", "bronze_frames", FRAMES, _FRAME_KEY, _FRAME_KEY[1:],
            "received_at", HOUR, "day", "inserted_at", "bronze_frames", clocks=("inserted_at",),
            can_leave=True, rank="toInt32(trades) - toInt32(duplicates)",
        ),
        Layer(
            "raw.dead_letters", "dead_letters", DEAD_LETTERS,
            (*_FRAME_KEY, "scope", "source_index", "frame"), _FRAME_KEY[1:], "received_at", HOUR,
            "day", "inserted_at", "dead_letters", clocks=("inserted_at",),
            can_leave=True,
        ),
        _bronze("binance", BINANCE, ("binance", "binance_usdm"), ("s", "T")),
        _bronze("kraken", KRAKEN, ("kraken",), ("symbol", "timestamp")),
        _bronze("coinbase", COINBASE, ("coinbase",), ("product_id", "time")),
        Layer(
            "silver.trades", "silver_trades", TRADES,
            ("exchange", "symbol", "timestamp", "trade_id"), ("symbol", "timestamp", "trade_id"),
            "timestamp", HOUR, "day", "inserted_at", "silver_trades", clocks=("inserted_at",),
            can_leave=True,
        ),
        Layer(
            "gold.ohlcv", "ohlcv", CANDLES, _CANDLE_KEY,
            ("timeframe", "symbol", "window_start"), "window_start", DAY, "month", "updated_at",
            "ohlcv", "closed", clocks=("updated_at",), rank="version",
        ),
        Layer(
            "gold.ohlcv_revisions", "ohlcv_revisions", REVISIONS,
            (
                *_CANDLE_KEY, "version", "missing", "status", "feed_down_ms", "repaired",
                "revision", "cause",
            ),
            ("timeframe", "symbol", "window_start", "version", "known_at"), "window_start", DAY,
            "month", "known_at", "ohlcv_revisions", rank="-toUnixTimestamp64Micro(known_at)",
        ),
        _meta(
            "gaps",
            GAPS,
            ("exchange", "symbol", "first_sequence", "last_sequence", "numbering"),
            clock="updated_at",
        ),
        _meta("outages", OUTAGES, ("exchange", "began", "shards", "shard")),
        _meta("market_outages", MARKET_OUTAGES, ("exchange", "symbol", "began")),
        _meta(
            "watermarks",
            WATERMARKS,
            ("exchange", "shards", "shard"),
            clock="updated_at",
            rank="watermark",
        ),
        _meta("numberings", NUMBERINGS, ("exchange", "symbol", "numbering")),
        _meta(
            "contradictions",
            CONTRADICTIONS,
            ("exchange", "symbol", "sequence", "timestamp", "side", "price", "quantity"),
        ),
    )
}  # fmt: skip
"""All layers by name, in the order in which they are offloaded."""
