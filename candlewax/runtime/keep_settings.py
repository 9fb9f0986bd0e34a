"""Settings of retention: how long each table keeps its rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, NamedTuple

FOREVER: Final = "forever"

_MOST_DAYS: Final = 50 * 365
"""Longest retention: ClickHouse computes with times until 2106."""

DAY: Final = timedelta(days=1)


class KeepRule(NamedTuple):
    """Table that a setting governs, its default, and the fewest days that it takes."""

    table: str
    default: str
    least_days: int


KEEP_RULES: Final[Mapping[str, KeepRule]] = {
    "KEEP_FRAMES": KeepRule("bronze_frames", "7d", 1),
    # A day candle is computed from its trades, and checks leave out the last two days.
    "KEEP_TRADES": KeepRule("silver_trades", "30d", 3),
    "KEEP_DEAD_LETTERS": KeepRule("dead_letters", "30d", 1),
    "KEEP_CANDLES": KeepRule("ohlcv", FOREVER, 3),
    "KEEP_REVISIONS": KeepRule("ohlcv_revisions", FOREVER, 1),
}
"""Settings of retention, in the order of the tables."""

SETTING_OF: Final = {rule.table: f"CANDLEWAX_{name}" for name, rule in KEEP_RULES.items()}
"""Setting that governs a table."""

_LONGER: Final = (
    ("KEEP_TRADES", "KEEP_FRAMES", "a stored frame is checked against its trades"),
    ("KEEP_DEAD_LETTERS", "KEEP_FRAMES", "a stored frame is checked against its dead letters"),
    ("KEEP_CANDLES", "KEEP_TRADES", "stored trades are checked against their candles"),
)
"""Settings of which the first takes at least as long as the second, and why."""

_WARM_FOREVER: Final = ("KEEP_CANDLES", "KEEP_REVISIONS")
"""Settings of tables whose rows stay beside the archive."""

Keep = Mapping[str, timedelta | None]
"""How long a table keeps rows after they were stored, in whole days; None: forever."""


def _default_keep() -> dict[str, timedelta | None]:
    return {rule.table: parse_keep(rule.default) for rule in KEEP_RULES.values()}


@dataclass(frozen=True)
class Retention:
    """How long each table keeps its rows, and what drops them.

    `is_cold`: the cold tier drops rows, once the archive holds them, and ClickHouse none by age.
    """

    keep: Keep = field(default_factory=_default_keep)
    is_cold: bool = False


def parse_keep(text: str, least_days: int = 1) -> timedelta | None:
    """Return a time in days, `7d`, or years of 365 days, `2y`; None: forever. Raises ValueError."""
    if text == FOREVER:
        return None
    match = re.fullmatch(r"(\d{1,5})([dy])", text, re.ASCII)
    days = int(match[1]) * (365 if match[2] == "y" else 1) if match else 0
    if not least_days <= days <= _MOST_DAYS:
        raise ValueError(
            f"whole days from {least_days}d, or years of 365 days to {_MOST_DAYS // 365}y, or "
            f"{FOREVER}, as 30d or 2y"
        )
    return timedelta(days=days)


def format_keep(keep: timedelta | None) -> str:
    """Return the text of a time as a setting takes it."""
    return FOREVER if keep is None else f"{keep // DAY}d"


def read_retention(texts: Mapping[str, str], errors: list[str], *, is_cold: bool) -> Retention:
    """Return the retention that the settings name. Add a line to `errors` for each wrong one."""
    values: dict[str, timedelta | None] = {}
    for name, rule in KEEP_RULES.items():
        text = texts.get(name) or rule.default
        try:
            values[name] = parse_keep(text, rule.least_days)
        except ValueError as error:
            errors.append(f"CANDLEWAX_{name}: got {text!r}, takes {error}")
    errors += _check_order(values)
    if is_cold:
        errors += [
            f"CANDLEWAX_{name}: got {texts[name]!r}, takes {FOREVER} with CANDLEWAX_COLD: only "
            "frames, trades and dead letters leave the tables for the archive"
            for name in _WARM_FOREVER
            if values.get(name)
        ]
    keep = {KEEP_RULES[name].table: value for name, value in values.items()}
    return Retention(keep, is_cold)


def _check_order(values: Mapping[str, timedelta | None]) -> list[str]:
    """Return the errors of settings that are shorter than one that must not be longer."""
    return [
        f"CANDLEWAX_{name}: got {format_keep(values[name])!r}, takes at least as long as "
        f"CANDLEWAX_{other}, {format_keep(values[other])}: {reason}"
        for name, other, reason in _LONGER
        if name in values and other in values and is_shorter(values[name], values[other])
    ]


def is_shorter(keep: timedelta | None, other: timedelta | None) -> bool:
    """Return True if one time ends before another; None never ends."""
    return keep is not None and (other is None or keep < other)
