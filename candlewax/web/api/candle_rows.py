"""Candles of one market or of several, in the order and the form that a client asks for."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import pyarrow as pa

from candlewax.web import encode
from candlewax.web.api import formats
from candlewax.web.cache import columns
from candlewax.web.cache.chunks import CandlePage, JsonCandles


class MarketCandles(NamedTuple):
    """Candles of a market, oldest first."""

    exchange: str
    symbol: str
    page: CandlePage


def turned(page: CandlePage) -> CandlePage:
    """Return the candles newest first; only for reading them out."""
    starts = [start for part in page.parts for start in part.starts]
    return CandlePage((JsonCandles(starts[::-1], page.lines()[::-1]),)) if starts else page


def up_to(page: CandlePage, edge: int | None, *, last: bool) -> CandlePage:
    """Return the candles that are not beyond a start: not after it, or not before for the last."""
    if edge is None:
        return page
    pairs = [
        (start, line)
        for part in page.parts
        for start, line in zip(part.starts, part.lines(), strict=True)
        if (start >= edge if last else start <= edge)
    ]
    return CandlePage((JsonCandles(*zip(*pairs, strict=True)),)) if pairs else CandlePage(())


def json_lines(markets: Sequence[MarketCandles]) -> list[bytes]:
    """Return candles of several markets as JSON, each with its `exchange` and `symbol`."""
    lines = []
    for exchange, symbol, page in markets:
        head = msgspec.json.encode({"exchange": exchange, "symbol": symbol})[:-1] + b","
        lines += [head + line[1:] for line in page.lines()]
    return lines


def write(markets: Sequence[MarketCandles], form: str) -> bytes:
    """Return candles of several markets in a form other than JSON."""
    if form == "csv":
        rows = [row for one in markets for row in _csv_rows(one)]
        return b"\n".join([b"exchange,symbol," + encode.csv(()).rstrip(), *rows, b""])
    table = pa.concat_tables(map(_table, markets)).combine_chunks()
    return columns.as_parquet(table) if form == "parquet" else columns.as_arrow(table)


def _csv_rows(market: MarketCandles) -> list[bytes]:
    target = io.StringIO()
    csv.writer(target, lineterminator="").writerow((market.exchange, market.symbol))
    head = target.getvalue().encode() + b","
    return [head + row for part in market.page.parts for row in part.csv_rows()]


def _table(market: MarketCandles) -> pa.Table:
    table = market.page.table()
    for place, (name, text) in enumerate((("exchange", market[0]), ("symbol", market[1]))):
        values = pa.repeat(pa.scalar(text, pa.large_string()), table.num_rows)
        table = table.add_column(place, name, values)
    return table


def write_only(markets: Sequence[MarketCandles], form: str) -> bytes:
    """Return candles of the only market in a form other than JSON, without its name."""
    (market,) = markets
    return formats.write_candles(market.page, form)
