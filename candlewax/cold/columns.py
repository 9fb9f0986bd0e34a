"""Columns of the tables of the cold tier.

A column is a line `name type encoding`. Types are Iceberg's, `?` behind one allows null. Encodings
are Parquet's: `dict` (dictionary), `delta` (DELTA_BINARY_PACKED), `prefix` (DELTA_BYTE_ARRAY) and
`plain`. They were chosen by size: a dictionary for every column takes 11 bytes a trade more. For
decimals with many values `plain` is as small as BYTE_STREAM_SPLIT, which Polars cannot read.
"""

from typing import Final, NamedTuple


class Column(NamedTuple):
    """A column of a cold table."""

    name: str
    type: str
    encoding: str
    is_required: bool = True


def _columns(text: str) -> tuple[Column, ...]:
    return tuple(
        Column(name, kind.rstrip("?"), encoding, not kind.endswith("?"))
        for name, kind, encoding in (line.rsplit(None, 2) for line in text.strip().splitlines())
    )


_SOURCE: Final = """
source string dict
source_partition long dict
source_offset long delta
"""

_FRAMES: Final = f"""
exchange string dict
connection string dict
{_SOURCE.strip()}
received_at timestamptz delta
received_ns int delta
frame binary plain
kind string dict
trades int dict
duplicates int dict
inserted_at timestamptz dict
"""

_DEAD_LETTERS: Final = f"""
exchange string dict
connection string dict
{_SOURCE.strip()}
source_index int dict
received_at timestamptz delta
received_ns int delta
scope string dict
reason string dict
detail string plain
frame binary plain
inserted_at timestamptz dict
"""

_BRONZE: Final = f"""
exchange string dict
connection string dict
{_SOURCE.strip()}
source_index int dict
received_at timestamptz delta
"""

_BINANCE: Final = f"""
{_BRONZE.strip()}
E long delta
s string dict
t long delta
p string dict
q string dict
T long delta
X string dict
m boolean plain
"""

_KRAKEN: Final = f"""
{_BRONZE.strip()}
protocol string dict
symbol string dict
side string dict
price string dict
qty string dict
ord_type string dict
trade_id long delta
timestamp string prefix
misc string dict
"""

_COINBASE: Final = f"""
{_BRONZE.strip()}
protocol string dict
product_id string dict
trade_id string prefix
price string dict
size string dict
side string dict
time string prefix
sequence long delta
maker_order_id string dict
taker_order_id string dict
"""

_TRADES: Final = f"""
exchange string dict
symbol string dict
native_symbol string dict
base string dict
quote string dict
trade_id string prefix
sequence long delta
timestamp timestamptz delta
side string dict
price decimal(38,12) dict
quantity decimal(38,12) dict
quote_volume decimal(38,18) plain
conditions list<string> dict
received_at timestamptz delta
inserted_at timestamptz dict
{_SOURCE.strip()}
source_index int dict
via string dict
numbering long dict
vendor_data map<string,string> dict
"""

_CANDLE: Final = """
timeframe string dict
exchange string dict
symbol string dict
window_start timestamptz delta
open decimal(38,12) dict
high decimal(38,12) dict
low decimal(38,12) dict
close decimal(38,12) dict
volume decimal(38,12) dict
quote_volume decimal(38,18) plain
trade_count long delta
buy_volume decimal(38,12) dict
buy_quote_volume decimal(38,18) plain
open_time timestamptz delta
close_time timestamptz delta
first_sequence long delta
last_sequence long delta
repaired long dict
revision int dict
missing long dict
status string dict
feed_down_ms long dict
"""

_CANDLES: Final = f"""
{_CANDLE.strip()}
closed boolean plain
version long delta
updated_at timestamptz dict
"""

_REVISIONS: Final = f"""
{_CANDLE.strip()}
version long delta
cause string dict
known_at timestamptz delta
"""

_GAPS: Final = """
exchange string dict
symbol string dict
first_sequence long delta
last_sequence long delta
count long delta
missing long delta
before timestamptz delta
after timestamptz delta
connection string dict
detected_at timestamptz delta
state string dict
reason string? dict
attempts long dict
updated_at timestamptz delta
numbering long dict
"""

_OUTAGES: Final = """
exchange string dict
began timestamptz delta
ended timestamptz delta
inserted_at timestamptz delta
shards int dict
shard int dict
"""

_MARKET_OUTAGES: Final = """
exchange string dict
symbol string dict
began timestamptz delta
since timestamptz delta
ended timestamptz delta
inserted_at timestamptz delta
"""

_WATERMARKS: Final = """
exchange string dict
watermark timestamptz delta
updated_at timestamptz delta
shards int dict
shard int dict
"""

_NUMBERINGS: Final = """
exchange string dict
symbol string dict
numbering long dict
first_sequence long delta
began timestamptz delta
before timestamptz delta
last_sequence long delta
inserted_at timestamptz delta
"""

_CONTRADICTIONS: Final = """
exchange string dict
symbol string dict
sequence long delta
stored_timestamp timestamptz delta
stored_side string dict
stored_price decimal(38,12) dict
stored_quantity decimal(38,12) dict
timestamp timestamptz delta
side string dict
price decimal(38,12) dict
quantity decimal(38,12) dict
received_at timestamptz delta
source string dict
source_partition long dict
source_offset long delta
source_index int dict
inserted_at timestamptz delta
"""

FRAMES: Final = _columns(_FRAMES)
DEAD_LETTERS: Final = _columns(_DEAD_LETTERS)
BINANCE: Final = _columns(_BINANCE)
KRAKEN: Final = _columns(_KRAKEN)
COINBASE: Final = _columns(_COINBASE)
TRADES: Final = _columns(_TRADES)
CANDLES: Final = _columns(_CANDLES)
REVISIONS: Final = _columns(_REVISIONS)
GAPS: Final = _columns(_GAPS)
OUTAGES: Final = _columns(_OUTAGES)
MARKET_OUTAGES: Final = _columns(_MARKET_OUTAGES)
WATERMARKS: Final = _columns(_WATERMARKS)
NUMBERINGS: Final = _columns(_NUMBERINGS)
CONTRADICTIONS: Final = _columns(_CONTRADICTIONS)
