"""Command `candlewax sql`: runs a query on the configured database."""

import argparse
import re
import sys
from typing import Final

from candlewax.cli.common import exit_on_error, open_for_reading
from candlewax.runtime import exit_reasons
from candlewax.runtime.cold_settings import reach_archive
from candlewax.runtime.settings import load as load_settings


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    sql = commands.add_parser("sql", help="run a query on the configured ClickHouse")
    sql.add_argument("query", help="one SQL query")
    sql.add_argument(
        "--format",
        help="any output format of ClickHouse: CSV, JSONEachRow, Parquet, ... (PrettyCompact, "
        "unless the query ends with a FORMAT of its own)",
    )
    sql.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    query, has_format = _split_query(arguments.query)
    if has_format and arguments.format:
        exit_reasons.print_error("the query ends with a FORMAT of its own; leave out --format")
        return 1
    output_format = None if has_format else arguments.format or "PrettyCompact"
    settings = exit_on_error(1, load_settings)
    if settings.cold:
        reach_archive(settings.cold)
    tables = open_for_reading(1)
    answer = exit_on_error(1, lambda: tables.client.raw_query(query, fmt=output_format))
    if sys.stdout:
        sys.stdout.buffer.write(answer)
    return 0


_FORMAT: Final = re.compile(
    r"(?<![\w.])FORMAT\s+[A-Za-z]\w*(\s+SETTINGS\s[^'\"`]*)?$", re.IGNORECASE
)


def _split_query(query: str) -> tuple[str, bool]:
    """Return a query without its final semicolon, and True if it names a format."""
    text = query.strip().rstrip(";").rstrip()
    match = _FORMAT.search(text)
    is_comment = match and "--" in text[text.rfind("\n") + 1 : match.start()]
    return text, bool(match) and not is_comment
