"""Command `candlewax status`: what runs, and whether something needs attention."""

import argparse
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.cli import process_status
from candlewax.cli.common import connect_served, exit_on_error
from candlewax.cli.findings import (
    NOTE,
    OK,
    SERVER_DISKS,
    WRONG,
    Finding,
    check_disk,
    check_space,
)
from candlewax.clickhouse.client import Database, DatabaseError, connect, short_message
from candlewax.clickhouse.directory_lock import is_locked
from candlewax.clickhouse.served_address import find_address
from candlewax.runtime.exit_reasons import explain_no_answer
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import Settings
from candlewax.runtime.settings import load as load_settings

WELL, ATTENTION, NOT_SEEN = 0, 1, 2
"""Exit statuses."""

QUIET: Final = timedelta(minutes=5)
"""Time without a stored trade of an exchange after which its feed needs attention."""

RECENT: Final = timedelta(days=1)
"""Age up to which a gap that was given up needs attention."""

# The trades of the last day candle are those of the last minute candle, too.
_LAST: Final = """
SELECT toString(exchange) AS exchange, count(DISTINCT symbol) AS markets,
    toDateTime64(max(ohlcv.close_time), 6, 'UTC') AS last_trade
FROM ohlcv
WHERE timeframe = '1d'
GROUP BY exchange
ORDER BY exchange
"""

_GAPS: Final = """
SELECT countIf(state IN ('open', 'repairing')) AS open,
    countIf(state = 'unrepairable') AS given_up,
    countIf(state = 'unrepairable'
        AND gap.detected_at >= fromUnixTimestamp({since:Int64})) AS recent
FROM (SELECT state, detected_at FROM gaps FINAL) AS gap
"""


class Target(NamedTuple):
    """Database to look at, and the page of the process that has it open, if any."""

    place: Path | Server
    name: str
    url: str | None


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "status",
        help="show what runs, its feeds and lag, the last candles, gaps and disk; exit 0: all "
        "well, 1: something needs attention, 2: could not look",
    )
    command.add_argument(
        "--url",
        type=_parse_url,
        help="page of the process to look at, as http://127.0.0.1:8000 (that of the configured "
        "database)",
    )
    command.add_argument("--json", action="store_true", help="print it as JSON")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    settings = exit_on_error(NOT_SEEN, load_settings)
    target = _find_target(settings, arguments.url)
    findings: list[Finding] = []
    failure: str | None = None
    try:
        for finding in collect_findings(settings, target):
            findings.append(finding)
            if not arguments.json:
                print(finding, flush=True)
    except ClickHouseError as error:
        failure = explain_no_answer(error) or short_message(error)
    except (DatabaseError, RuntimeError) as error:
        failure = str(error)
    status = ATTENTION if any(finding.state == WRONG for finding in findings) else WELL
    if failure is not None:
        status = NOT_SEEN
        findings.append(Finding(WRONG, "database", failure))
        if not arguments.json:
            print(findings[-1])
    if arguments.json:
        lines = [asdict(finding) for finding in findings]
        print(json.dumps({"status": status, "findings": lines}, ensure_ascii=False))
    return status


def collect_findings(settings: Settings, target: Target) -> Iterator[Finding]:
    """Look at one thing after another, and yield a finding for each.

    Raises DatabaseError or ClickHouseError if the tables cannot be read.
    """
    now = datetime.now(UTC)
    is_judged_by_feeds = False
    if target.url:
        health = process_status.read_health(target.url)
        is_judged_by_feeds = health is not None
        yield from process_status.describe(target.url, health)
    elif isinstance(target.place, Path):
        yield _describe_directory(target.place)
    if settings.metrics_port is not None:
        address = settings.metrics_address
        yield from process_status.describe_metrics(address, settings.metrics_port)
    if isinstance(target.place, Path):
        yield from check_disk(target.place)
    with closing(_open(target)) as database:
        yield Finding(OK, "database", f"{target.place}, database {target.name}")
        if isinstance(target.place, Server) and not target.url:
            for name, space in database.query_once(SERVER_DISKS).rows():
                yield check_space(f"{target.place}, disk {name}", int(space))
        is_running = isinstance(target.place, Server) and not is_judged_by_feeds
        yield from _describe_candles(database, now, is_running=is_running)
        yield _describe_gaps(database, now)


def _find_target(settings: Settings, url: str | None) -> Target:
    place = settings.clickhouse
    if url:
        return Target(Server(url), settings.database, url)
    served = find_address(place) if isinstance(place, Path) else None
    return Target(place, settings.database, served.url if served else None)


def _open(target: Target) -> Database:
    if isinstance(target.place, Path) and target.url:
        return connect_served(target.place, target.url, target.name)
    return connect(target.place, target.name, fail_fast=True)


def _describe_directory(folder: Path) -> Finding:
    if is_locked(folder):
        text = (
            f"one without a page, such as candlewax live, has {folder} open and answers no "
            "queries; candlewax up does, and with CANDLEWAX_METRICS_PORT its readiness is told"
        )
        return Finding(NOTE, "process", text)
    return Finding(WRONG, "process", f"none has {folder} open: nothing is received")


def _describe_candles(database: Database, now: datetime, *, is_running: bool) -> Iterator[Finding]:
    """Describe the last candle of each exchange; with `is_running` it must be recent."""
    rows = database.query_once(_LAST).rows()
    if not rows:
        yield Finding(WRONG if is_running else NOTE, "candles", "none is stored yet")
    for exchange, markets, last_trade in rows:
        age = now - last_trade.replace(tzinfo=UTC)
        is_old = is_running and age > QUIET
        text = f"{exchange}: the last of {markets:,} markets at {last_trade:%Y-%m-%d %H:%M} UTC"
        yield Finding(WRONG if is_old else OK, "candles", f"{text}, {_format_age(age)} ago")


def _describe_gaps(database: Database, now: datetime) -> Finding:
    parameters: dict[str, Any] = {"since": int((now - RECENT).timestamp())}
    still_open, given_up, recent = database.query_once(_GAPS, parameters).row(0)
    text = f"{still_open:,} open, {given_up:,} given up, {recent:,} of these in the last 24 hours"
    if still_open or recent:
        return Finding(WRONG, "gaps", f"{text}; candlewax gaps lists them")
    return Finding(OK, "gaps", text)


def _format_age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit:,} {name}"
    return f"{seconds} s"


def _parse_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise argparse.ArgumentTypeError(f"got {text!r}, takes an address as http://127.0.0.1:8000")
    return text.rstrip("/")
