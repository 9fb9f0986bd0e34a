"""Command `candlewax cold verify`: warm against cold, or the archive against its manifests."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from candlewax.cli.cold_common import load_cold_settings, open_cold, require_tables
from candlewax.cli.common import parse_cli_time
from candlewax.cli.progress import show_progress
from candlewax.cold import manifest_check, store
from candlewax.cold.manifest_check import CheckResult
from candlewax.cold.signature import KeyFileError
from candlewax.cold.units import EPOCH, FAR
from candlewax.cold.verify import LayerCounts, Verification, verify
from candlewax.pipeline.reports.summary import console

SAME, DIFFERENT, NOT_COMPARED = 0, 1, 2
"""Exit statuses."""

MEGABYTE: Final = 1_000_000

_CONSOLE: Final = console()


def add(subcommands: Any) -> None:  # noqa: ANN401 - argparse keeps its type private
    """Add the subcommand to the parser of `candlewax cold`."""
    command = subcommands.add_parser(
        "verify",
        help="compare the archive with the warm tables; exit 0: equal, 1: not equal, 2: could not "
        "compare",
    )
    command.add_argument("--from", dest="begin", type=parse_cli_time, default=EPOCH, help="(all)")
    command.add_argument("--to", dest="end", type=parse_cli_time, default=FAR, help="(all)")
    command.add_argument(
        "--deep", action="store_true", help="read every row of the archive back, released ones too"
    )
    command.add_argument(
        "--manifest",
        action="store_true",
        help="check the files against the manifests instead: needs no database",
    )
    command.add_argument(
        "--day", type=parse_cli_time, help="with --manifest: files of this day only"
    )
    command.add_argument(
        "--public-key", type=Path, metavar="FILE", help="with --manifest: check the signatures"
    )
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.manifest:
        return _check_manifests(arguments)
    shown = (lambda _: None) if arguments.json else _print_layer
    with open_cold(NOT_COMPARED) as tier:
        require_tables(tier)
        begin, end, deep = arguments.begin, arguments.end, arguments.deep
        with show_progress("comparing", None, "units") as bar:
            result = verify(tier, begin, end, deep=deep, on_layer=shown, on_units=bar.show)
    if arguments.json:
        print(json.dumps(result.as_dict(), default=str, ensure_ascii=False))
    else:
        _print_result(result)
    if result.unreadable and not result.differing:
        return NOT_COMPARED
    return SAME if result.is_same else DIFFERENT


def _print_layer(counts: LayerCounts) -> None:
    print(
        f"{counts.layer}: {counts.compared:,} units compared, {counts.released:,} released, "
        f"{counts.rows:,} rows, {counts.pending:,} pending, {counts.differing:,} differ",
    )


def _print_result(result: Verification) -> None:
    for name in (*result.differing, *result.unreadable):
        _CONSOLE.print(f"[bold red]{name}[/]", highlight=False)
    for row in result.rows:
        _CONSOLE.print(f"  {json.dumps(row, default=str)}", highlight=False, markup=False)
    if result.is_same:
        _CONSOLE.print("The same.")


def _check_manifests(arguments: argparse.Namespace) -> int:
    _, cold = load_cold_settings(NOT_COMPARED)
    try:
        manifests, warehouse = store.manifests_folder(cold), store.warehouse_folder(cold)
        with show_progress("checking", None, "MB") as bar:
            result = manifest_check.check(
                manifests.path, warehouse.path, manifests.filesystem, arguments.public_key,
                arguments.day and arguments.day.date(),
                lambda done, total: bar.show(done // MEGABYTE, total // MEGABYTE),
            )  # fmt: skip
    except (KeyFileError, OSError) as error:
        print(f"candlewax: {error}", file=sys.stderr)
        return NOT_COMPARED
    if arguments.json:
        print(json.dumps(_as_dict(result), default=str))
    else:
        _print_check(result)
    return SAME if result.is_sound else DIFFERENT


def _as_dict(result: CheckResult) -> dict[str, Any]:
    problems = [problem._asdict() for problem in result.problems]
    return {**vars(result), "problems": problems, "is_sound": result.is_sound}


def _print_check(result: CheckResult) -> None:
    _CONSOLE.print(
        f"{result.manifests:,} manifests, {result.units:,} units with {result.rows:,} rows in "
        f"{result.files:,} files of {result.bytes / 1e6:,.1f} MB",
        highlight=False,
    )
    if result.last:
        _CONSOLE.print(f"newest: {result.last[0]}, SHA-256 {result.last[1]}", highlight=False)
    if result.unsigned:
        _CONSOLE.print(f"no signature proves: {', '.join(result.unsigned)}", highlight=False)
    for problem in result.problems:
        _CONSOLE.print(f"[bold red]{problem}[/]", highlight=False)
    if result.is_sound:
        _CONSOLE.print("As sealed.")
