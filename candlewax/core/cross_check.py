"""Results of cross-checks: columns of a row and fields of a report."""

from datetime import datetime
from typing import Any, Final

PROBLEMS: Final = ("mismatch", "missing_in_gold", "missing_in_check")

COLUMNS: Final = (
    "exchange", "checked_at", "candles", "mismatches", "missing_in_gold", "missing_in_check",
)  # fmt: skip
"""Columns of the table `cross_checks`."""


def as_report(checked_at: datetime, *counts: int) -> dict[str, Any]:
    """Return the result of a cross-check for JSON; `counts` as in COLUMNS."""
    numbers = dict(zip(COLUMNS[2:], counts, strict=True))
    return {"checked_at": f"{checked_at:%Y-%m-%dT%H:%M:%SZ}", **numbers}
