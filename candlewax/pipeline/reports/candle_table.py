"""Table of the latest candles as lines of text, for a screen of any size.

A number is never cut: columns are dropped until the rest fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from rich.text import Text

from candlewax.pipeline.reports.summary import format_decimal

COLUMNS: Final = (
    "market", "minute", "open", "high", "low", "close", "volume", "trades", "state",
)  # fmt: skip

DROPPED: Final = ("open", "low", "high", "trades", "volume", "minute", "state")
"""Columns in the order in which they are dropped; `market` and `close` stay."""

_SPACE: Final = 2
"""Blanks between two columns."""

_HEADING_LINES: Final = 2
_STATUS_LINES: Final = 1

_LEFT: Final = frozenset({"market", "state"})

Row = dict[str, str]
"""Text of each column."""


@dataclass(frozen=True)
class Screen:
    """Size of a terminal, in columns and lines."""

    width: int
    height: int

    @property
    def rows(self) -> int:
        """Return how many markets fit on it, beside heading, status and the cursor's line."""
        return max(1, self.height - _HEADING_LINES - _STATUS_LINES - 1)


@dataclass(frozen=True)
class Page:
    """Part of the markets that fits on a screen: from `begin` to before `end`, counted from 0."""

    begin: int
    end: int
    total: int

    def __str__(self) -> str:
        """Return which markets they are, counted from 1; empty text if these are all."""
        if self.end - self.begin >= self.total:
            return ""
        return f"{self.begin + 1} to {self.end} of {self.total} markets"


def choose_page(total: int, rows: int, number: int) -> tuple[Page, int]:
    """Return the page of this number and its real number: behind the last one comes the first."""
    pages = max(1, -(-total // rows))
    number %= pages
    begin = number * rows
    return Page(begin, min(begin + rows, total), total), number


def to_row(candle: dict[str, Any]) -> Row:
    """Return the texts of a candle of `overview.read_latest_minutes`."""
    amounts: dict[str, Decimal] = {
        name: candle[name] for name in ("open", "high", "low", "close", "volume")
    }
    return {
        "market": f"{candle['exchange']} {candle['symbol']}",
        "minute": f"{candle['minute']:%H:%M}",
        **{name: format_decimal(amount) for name, amount in amounts.items()},
        "trades": f"{candle['trade_count']:,}",
        "state": "closed" if candle["closed"] else "forming",
    }


def choose_columns(rows: Sequence[Row], width: int | None) -> dict[str, int]:
    """Return the columns that fit, with their widths; `width` None: all fit.

    The name of a market is cut if even it and the last price are too wide.
    """
    widths = {name: max(map(len, (name, *(row[name] for row in rows)))) for name in COLUMNS}
    if width is None:
        return widths
    for name in DROPPED:
        if _total(widths) <= width:
            break
        del widths[name]
    if _total(widths) > width:
        widths["market"] = width - _SPACE - widths["close"]
    if widths["market"] < 1:
        del widths["market"]
    return widths


def _total(widths: dict[str, int]) -> int:
    return sum(widths.values()) + _SPACE * (len(widths) - 1)


def render(rows: Sequence[Row], styles: Sequence[str], widths: dict[str, int]) -> list[Text]:
    """Return the lines of a table: a heading, a rule and the rows.

    `styles`: that of the last price in each row.
    """
    heading = _line({name: name for name in widths}, widths)
    heading.stylize("bold")
    lines = [heading, Text("─" * _total(widths), style="dim")]
    for row, style in zip(rows, styles, strict=True):
        lines.append(_line(row, widths, style))
    return lines


def _line(row: Row, widths: dict[str, int], close_style: str = "") -> Text:
    line = Text(no_wrap=True)
    for place, (name, width) in enumerate(widths.items()):
        text = row[name] if len(row[name]) <= width else f"{row[name][: width - 1]}…"
        padded = text.ljust(width) if name in _LEFT else text.rjust(width)
        line.append(" " * _SPACE * bool(place))
        line.append(padded, style=close_style if name == "close" else None)
    return line


def join_status(parts: Sequence[tuple[int, str]], width: int | None) -> str:
    """Return the parts of a status in one line of at most `width` characters.

    Each part has a rank. The parts of the highest rank are left out first; none is cut but the
    last one that is left.
    """
    kept = [part for part in parts if part[1]]
    while len(kept) > 1 and width is not None and len(_joined(kept)) > width:
        worst = max(rank for rank, _ in kept)
        last = max(place for place, (rank, _) in enumerate(kept) if rank == worst)
        del kept[last]
    return _joined(kept)[:width]


def _joined(parts: Sequence[tuple[int, str]]) -> str:
    return " · ".join(text for _, text in parts)
