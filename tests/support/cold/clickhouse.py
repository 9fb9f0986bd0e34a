"""Committed Iceberg tables as ClickHouse reads them, in processes of their own."""

import csv
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pyiceberg.table import Table

from tests.support.cold.object_store import ObjectStore

_PROGRAM: Final = """
import sys
from chdb.session import Session

session = Session(sys.argv[1])
for statement in sys.argv[2:]:
    answer = session.query(statement, "CSV")
print(answer, end="")
session.close()
"""


def ask(
    folder: Path,
    *statements: str,
    environ: Mapping[str, str] | None = None,
    configuration: Path | None = None,
) -> list[list[str]]:
    """Return what ClickHouse answers to the last of some statements.

    It keeps its tables in a directory of the folder, and reads local files below the folder only.
    A configuration is a server's file.
    """
    directory = str(folder / "clickhouse")
    if configuration:
        directory += f"?config-file={configuration}"
    answer = subprocess.run(
        [sys.executable, "-c", _PROGRAM, directory, *statements],
        cwd=folder,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return list(csv.reader(answer.stdout.splitlines()))


def pinned_metadata(table: Table) -> str:
    """Return the setting without which ClickHouse may read what was never committed."""
    path = table.metadata_location.removeprefix(table.location() + "/")
    return f"SETTINGS iceberg_metadata_file_path = '{path}'"


def source(table: Table, store: ObjectStore | None) -> str:
    """Return a committed table as a function of ClickHouse, without keys: see `keys`."""
    location = table.location()
    if store is None:
        return f"icebergLocal('{location.removeprefix('file://')}/', {pinned_metadata(table)})"
    address = f"{store.endpoint}/{location.removeprefix('s3://')}/"
    return f"icebergS3('{address}', {pinned_metadata(table)})"


def keys(store: ObjectStore | None) -> Mapping[str, str]:
    """Return the environment from which ClickHouse takes the keys of an object store."""
    if store is None:
        return {}
    return {"AWS_ACCESS_KEY_ID": store.key, "AWS_SECRET_ACCESS_KEY": store.secret}
