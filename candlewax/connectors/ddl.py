"""Tables and views: the files of `clickhouse/ddl`, applied in order."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.client import Client

FOLDER: Final = Path(__file__).parents[2] / "clickhouse" / "ddl"

_END: Final = re.compile(r";[ \t]*(?:\n|$)")
"""A semicolon ends a statement where it ends a line; comments hold none there."""


def apply(client: Client, folder: Path = FOLDER) -> None:
    """Create what the files `NN_name.sql` of a folder name, where it is absent.

    They are applied in the order of their names to the client's own database; again,
    they change nothing.
    """
    for path in sorted(folder.glob("[0-9][0-9]_*.sql")):
        for statement in statements(path.read_text(encoding="utf-8")):
            client.command(statement)


def statements(sql: str) -> Iterator[str]:
    """The statements of a file."""
    for part in _END.split(sql):
        if any(line.strip() and not line.lstrip().startswith("--") for line in part.splitlines()):
            yield part.strip()
