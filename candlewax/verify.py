"""The cross-check: is every stored candle what the stored trades say?"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.connectors.clickhouse import briefly

EXAMPLES: Final = 20
"""How many differences are shown."""

_STATUS: Final = """
SELECT exception FROM system.view_refreshes
WHERE database = currentDatabase() AND view = 'ohlcv_check_mv'
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

_BOOKS: Final = """
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


class VerifyError(RuntimeError):
    """The candles could not be compared; the text says why."""


@dataclass(frozen=True)
class Verification:
    """What the comparison found. `candles` counts each candle that either side has.

    Of the examples each names its candle, its problem, the fields that differ, and
    what is stored and computed in them, as text.
    """

    candles: int
    mismatches: int
    missing_in_gold: int
    missing_in_check: int
    examples: list[dict[str, Any]]

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.mismatches or self.missing_in_gold or self.missing_in_check)


def verify(client: Client) -> Verification:
    """Compute all candles again in SQL and compare every field of each.

    Raises VerifyError.
    """
    try:
        client.command("SYSTEM REFRESH VIEW ohlcv_check_mv")
        client.command("SYSTEM WAIT VIEW ohlcv_check_mv")
        ((failure,),) = client.query(_STATUS).result_rows
        if failure:
            raise VerifyError(f"the cross-check could not be computed: {failure}")
        problems = {name: count for name, count in client.query(_PROBLEMS).result_rows}  # noqa: C416 - rows are lists
        ((candles,),) = client.query(_CANDLES).result_rows
        found = client.query(_EXAMPLES, parameters={"limit": EXAMPLES})
    except ClickHouseError as error:
        raise VerifyError(briefly(error)) from error
    return Verification(
        candles,
        problems.get("mismatch", 0),
        problems.get("missing_in_gold", 0),
        problems.get("missing_in_check", 0),
        [_example(example) for example in found.named_results()],
    )


def _example(row: dict[str, Any]) -> dict[str, Any]:
    gold, check = row.pop("gold_values"), row.pop("check_values")
    fields = row.pop("fields") if gold and check else []
    return {
        **row,
        "fields": {name: {"gold": gold[name], "check": check[name]} for name in fields},
    }


def to_json(found: Verification) -> str:
    """The result as JSON."""
    return json.dumps(asdict(found), ensure_ascii=False)


def report(found: Verification) -> str:
    """The result for people."""
    if found.equal:
        return f"All {found.candles:,} candles equal those computed from silver_trades."
    counts = (
        f"{found.candles:,} candles: {found.mismatches:,} differ, "
        f"{found.missing_in_gold:,} missing in ohlcv, {found.missing_in_check:,} without trades"
    )
    lines = [counts]
    for example in found.examples:
        name = " ".join(
            str(example[part]) for part in ("exchange", "symbol", "timeframe", "window_start")
        )
        lines.append(f"  {name}: {example['problem']}")
        lines += [
            f"    {field}: stored {values['gold']}, computed {values['check']}"
            for field, values in example["fields"].items()
        ]
    return "\n".join(lines)


def books(client: Client) -> list[str]:
    """Whether the tables add up: a line for each exchange and sum that does not."""
    lines = []
    for exchange, fresh, dead, trades, letters in client.query(_BOOKS).result_rows:
        if fresh != trades:
            lines.append(f"{exchange}: frames hold {fresh:,} trades, silver_trades {trades:,}")
        if dead != letters:
            lines.append(f"{exchange}: {dead:,} dead frames, dead_letters holds {letters:,}")
    return lines
