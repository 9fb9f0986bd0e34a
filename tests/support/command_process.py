"""Helpers that run a command in this process, on the database of a test."""

from pathlib import Path

import pytest

from candlewax.cli.main import main
from candlewax.clickhouse.client import Database


def name(tables: Database) -> str:
    """The name of a test's database."""
    return str(tables.query("SELECT currentDatabase() AS name").item())


def run(
    monkeypatch: pytest.MonkeyPatch, path: Path, tables: Database, *arguments: str
) -> int | str | None:
    """Run `candlewax` with these arguments; its exit status."""
    monkeypatch.setenv("CANDLEWAX_CLICKHOUSE", str(path))
    monkeypatch.setenv("CANDLEWAX_DATABASE", name(tables))
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code
