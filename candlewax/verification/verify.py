"""Full cross-check: all candles, gaps and certificates computed again in SQL and compared.

The SQL shares no code with the dataflow; see `clickhouse/ddl`, files 70 and on.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.clickhouse.client import short_message
from candlewax.verification.frame_check import find_missing_trades

EXAMPLES: Final = 20
"""Largest number of differences listed."""

_CHECK_VIEWS: Final = ("ohlcv_check_mv", "missing_range_check_mv")
"""Views to refresh before the comparison."""

_STATUS: Final = """
SELECT exception FROM system.view_refreshes
WHERE database = currentDatabase() AND view = {view:String}
"""

_PROBLEMS: Final = "SELECT problem, count() FROM ohlcv_mismatches GROUP BY problem"

_EXAMPLES: Final = """
SELECT toString(timeframe) AS timeframe, exchange, symbol, toString(window_start) AS window_start,
    problem, fields, gold_values, check_values
FROM ohlcv_mismatches
ORDER BY ohlcv_mismatches.timeframe, exchange, symbol, window_start
LIMIT {limit:UInt32}
"""

_CANDLES: Final = """
SELECT count() FROM
(
    SELECT timeframe, exchange, symbol, window_start FROM ohlcv
    UNION DISTINCT
    SELECT timeframe, exchange, symbol, window_start FROM ohlcv_check
)
"""

_TOTALS: Final = """
SELECT exchange,
    sum(fresh) AS fresh,
    sum(dead) AS dead,
    sum(trades) AS trades,
    sum(letters) AS letters
FROM
(
    SELECT exchange, toInt64(bronze_frames.trades) - toInt64(duplicates) AS fresh,
        kind = 'dead' AS dead, 0 AS trades, 0 AS letters
    FROM bronze_frames FINAL
    UNION ALL
    SELECT exchange, 0, 0, 1, 0 FROM silver_trades FINAL
    UNION ALL
    SELECT exchange, 0, 0, 0, 1 FROM dead_letters FINAL WHERE scope = 'frame'
)
GROUP BY exchange
ORDER BY exchange
"""


_GAPS: Final = """
SELECT *, count() OVER () AS total
FROM gap_mismatches
ORDER BY exchange, symbol, first_sequence
LIMIT {limit:UInt32}
"""

_TIMEFRAMES: Final = """
SELECT * REPLACE (toString(window_start) AS window_start), count() OVER () AS total
FROM timeframe_mismatches
ORDER BY timeframe, exchange, symbol, window_start
LIMIT {limit:UInt32}
"""

_CERTIFICATES: Final = _TIMEFRAMES.replace("timeframe_mismatches", "certificate_mismatches")

_PARTS: Final = {
    "gaps": (
        "missing ranges of silver_trades and gaps",
        "SELECT (SELECT count() FROM gaps FINAL) + (SELECT count() FROM missing_range_check)",
        _GAPS,
    ),
    "certificates": (
        "certificates of candles",
        "SELECT count() FROM ohlcv FINAL",
        _CERTIFICATES,
    ),
    "timeframes": (
        "candles of longer timeframes made of one-minute candles",
        "SELECT count() FROM ohlcv FINAL WHERE timeframe != '1m'",
        _TIMEFRAMES,
    ),
}
"""Parts of the check other than the candles' fields: description, query for the number of checked
items, and query for those that differ."""

_FRAMES: Final = "frames"
_DESCRIPTIONS: Final = {
    **{name: description for name, (description, *_) in _PARTS.items()},
    _FRAMES: "trades in bronze_frames and silver_trades",
}


class VerifyError(RuntimeError):
    """Error for a comparison that is not possible; the text says why."""


@dataclass(frozen=True)
class Part:
    """Result of one part of the check: of `checked` items `mismatches` differ."""

    checked: int
    mismatches: int
    examples: list[dict[str, Any]]


@dataclass(frozen=True)
class Verification:
    """Result of the comparison. `candles` counts candles that either side has.

    Each example names its candle, its problem, and the stored and computed values of the fields
    that differ, as text. `parts` holds the other parts by name.
    """

    candles: int
    mismatches: int
    missing_in_gold: int
    missing_in_check: int
    examples: list[dict[str, Any]]
    parts: dict[str, Part] = field(default_factory=dict)

    @property
    def differences(self) -> int:
        """Return the number of differences of all parts."""
        candles = self.mismatches + self.missing_in_gold + self.missing_in_check
        return candles + sum(part.mismatches for part in self.parts.values())

    @property
    def is_empty(self) -> bool:
        """Return True if nothing is stored to compare: no candle, no gap, no frame with trades."""
        items = self.candles + sum(part.checked for part in self.parts.values())
        return not items and not self.differences

    @property
    def equal(self) -> bool:
        """Return True if nothing differs."""
        return not self.differences


STEPS: Final = len(_CHECK_VIEWS) + 1 + len(_PARTS) + 1
"""Steps of the check: the views, the comparison of candles, its other parts, and the frames."""


def verify(
    client: Client,
    settle_s: Sequence[float] = (),
    on_step: Callable[[], object] = lambda: None,
) -> Verification:
    """Compute all candles, missing ranges and certificates again in SQL and compare each.

    `settle_s` as in `find_missing_trades`. `on_step` is called after each of STEPS. Raises
    VerifyError.
    """
    try:
        for view in _CHECK_VIEWS:
            _refresh(client, view)
            on_step()
        problems = {name: count for name, count in client.query(_PROBLEMS).result_rows}  # noqa: C416 - rows are lists
        ((candles,),) = client.query(_CANDLES).result_rows
        result = client.query(_EXAMPLES, parameters={"limit": EXAMPLES})
        on_step()
        parts = {}
        for name, (_, *queries) in _PARTS.items():
            parts[name] = _part(client, *queries)
            on_step()
        parts[_FRAMES] = _frames_part(client, settle_s)
        on_step()
    except ClickHouseError as error:
        raise VerifyError(short_message(error)) from error
    return Verification(
        candles,
        problems.get("mismatch", 0),
        problems.get("missing_in_gold", 0),
        problems.get("missing_in_check", 0),
        [_example(example, "gold") for example in result.named_results()],
        parts,
    )


def _refresh(client: Client, view: str) -> None:
    client.command(f"SYSTEM REFRESH VIEW {view}")
    client.command(f"SYSTEM WAIT VIEW {view}")
    ((failure,),) = client.query(_STATUS, parameters={"view": view}).result_rows
    if failure:
        raise VerifyError(f"the cross-check could not be computed: {failure}")


def _part(client: Client, count: str, differing: str) -> Part:
    ((checked,),) = client.query(count).result_rows
    rows = list(client.query(differing, parameters={"limit": EXAMPLES}).named_results())
    total = rows[0]["total"] if rows else 0
    examples = [
        _example({name: value for name, value in row.items() if name != "total"}, "stored")
        for row in rows
    ]
    return Part(checked, total, examples)


def _frames_part(client: Client, settle_s: Sequence[float]) -> Part:
    checked, missing, rows = find_missing_trades(client, EXAMPLES, settle_s)
    return Part(checked, missing, [_example(row, "stored") for row in rows])


def _example(row: dict[str, Any], stored_name: str) -> dict[str, Any]:
    stored, check = row.pop(f"{stored_name}_values"), row.pop("check_values")
    fields = row.pop("fields") if stored and check else []
    return {
        **row,
        "fields": {name: {stored_name: stored[name], "check": check[name]} for name in fields},
    }


def to_json(result: Verification, **more: object) -> str:
    """Return the result as JSON, with further keys."""
    fields = asdict(result)
    parts = fields.pop("parts")
    return json.dumps({**fields, **parts, **more}, ensure_ascii=False)


def report(result: Verification) -> str:
    """Return the result as text."""
    differing_candles = result.mismatches + result.missing_in_gold + result.missing_in_check
    if differing_candles:
        first_line = (
            f"{result.candles:,} candles: {result.mismatches:,} differ, "
            f"{result.missing_in_gold:,} missing in ohlcv, "
            f"{result.missing_in_check:,} without trades"
        )
    else:
        first_line = f"All {result.candles:,} candles equal those computed from silver_trades."
    lines = [first_line, *_example_lines(result.examples)]
    for name, part in result.parts.items():
        description = _DESCRIPTIONS[name]
        if part.mismatches:
            lines.append(f"{part.mismatches:,} of {part.checked:,} {description} differ")
            lines += _example_lines(part.examples)
        else:
            lines.append(f"All {part.checked:,} {description} agree.")
    return "\n".join(lines)


_KEY_COLUMNS: Final = (
    "exchange", "symbol", "timeframe", "window_start", "first_sequence", "last_sequence",
    "native_symbol", "trade_id", "source", "source_partition", "source_offset", "source_index",
)  # fmt: skip


def _example_lines(examples: list[dict[str, Any]]) -> list[str]:
    lines = []
    for example in examples:
        name = " ".join(str(example[part]) for part in _KEY_COLUMNS if part in example)
        lines.append(f"  {name}: {example['problem']}")
        lines += [
            f"    {field}: stored {next(iter(values.values()))}, computed {values['check']}"
            for field, values in example["fields"].items()
        ]
    return lines


def check_totals(client: Client) -> list[str]:
    """Return a line for each exchange and total that does not match between the tables."""
    lines = []
    for exchange, fresh, dead, trades, letters in client.query(_TOTALS).result_rows:
        if fresh != trades:
            lines.append(f"{exchange}: frames hold {fresh:,} trades, silver_trades {trades:,}")
        if dead != letters:
            lines.append(f"{exchange}: {dead:,} dead frames, dead_letters holds {letters:,}")
    return lines
