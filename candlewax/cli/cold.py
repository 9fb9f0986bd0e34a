"""Command `candlewax cold` with its subcommands."""

import argparse
import json
from collections import Counter
from typing import Any, Final, Literal

from rich import box
from rich.table import Table

from candlewax.cli import cold_verify, cold_work
from candlewax.cli.cold_common import open_cold, require_tables
from candlewax.cold.layers import LAYERS
from candlewax.cold.schemas import ddl_text
from candlewax.cold.tier import ColdTier
from candlewax.pipeline.reports.summary import console

_TEXTS: Final = frozenset({"layer", "newest (UTC)"})
"""Headings of columns that hold text."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    cold = commands.add_parser("cold", help="look after the archive of CANDLEWAX_COLD")
    subcommands = cold.add_subparsers(required=True, metavar="SUBCOMMAND")
    ddl = subcommands.add_parser("ddl", help="print the DDL of the archive's Iceberg tables")
    ddl.set_defaults(run=_print_ddl)
    status = subcommands.add_parser("status", help="show how far each layer is in the archive")
    status.add_argument("--json", action="store_true", help="print it as JSON")
    status.set_defaults(run=_print_status)
    cold_verify.add(subcommands)
    cold_work.add(subcommands)


def _print_ddl(_: argparse.Namespace) -> int:
    print(ddl_text())
    return 0


def _print_status(arguments: argparse.Namespace) -> int:
    with open_cold(1) as tier:
        require_tables(tier)
        layers = [_describe(tier, name) for name in LAYERS]
    if arguments.json:
        print(json.dumps({"layers": layers}))
        return 0
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("layer", "newest (UTC)", "rows", "files", "MB", "unproven"):
        justify: Literal["left", "right"] = "left" if heading in _TEXTS else "right"
        table.add_column(heading, justify=justify, no_wrap=True)
    for layer in layers:
        table.add_row(
            layer["layer"],
            layer["newest"] or "",
            *(f"{layer[key]:,}" for key in ("rows", "files")),
            f"{layer['bytes'] / 1e6:,.1f}",
            f"{layer['unproven']:,}",
        )
    screen = console()
    screen.print(table)
    if unsettled := sum(layer["unsettled"] for layer in layers):
        screen.print(f"{unsettled:,} units have an open gap and may still change", highlight=False)
    return 0


def _describe(tier: ColdTier, name: str) -> dict[str, Any]:
    layer = LAYERS[name]
    states = tier.unit_table.states(layer).values()
    table = tier.warehouse.load(layer)
    files = tier.warehouse.data_files(table)
    newest = max((state.unit.begin for state in states if layer.span), default=None)
    return {
        "layer": name,
        "newest": newest and f"{newest:%Y-%m-%d %H:%M}",
        "units": len(states),
        "rows": sum(state.measure.rows for state in states),
        "files": len(files),
        "bytes": sum(file.file_size_in_bytes for file in files),
        "metadata": table.metadata_location,
        "states": Counter(state.state for state in states),
        "unproven": sum(not state.is_verified for state in states),
        "unsettled": sum(not state.settled for state in states),
    }
