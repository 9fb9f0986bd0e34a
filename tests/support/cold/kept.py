"""Archives as they are after their first steps: each is made once, and copied for each test.

A copy takes a twentieth of the time in which an archive is filled. Its files lie where those of the
first lay, as the metadata of a table names its files by their whole paths.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from candlewax.clickhouse.client import Database
from candlewax.cold.tier import ColdTier, open_tier
from tests.support import cold_tables
from tests.support.databases import Databases

EMPTY: Final = "empty"
"""Empty tables, warm and cold."""

PLAYED: Final = "played"
"""The trades of two hours are warm."""

TRADED: Final = "traded"
"""Their silver trades are offloaded too."""

OFFLOADED: Final = "offloaded"
"""All of their layers are offloaded."""


def _offload_trades(tier: ColdTier) -> None:
    cold_tables.offload(tier, "silver.trades")


def _offload_all(tier: ColdTier) -> None:
    assert tier.offloader.run_round().errors == ()


class _Step(NamedTuple):
    """How an archive is made of another one."""

    base: str
    run: Callable[[ColdTier], object]


_STEPS: Final[Mapping[str, _Step]] = {
    PLAYED: _Step(EMPTY, lambda tier: cold_tables.play(tier.database)),
    TRADED: _Step(PLAYED, _offload_trades),
    OFFLOADED: _Step(PLAYED, _offload_all),
}


class KeptArchives:
    """Archives with their databases, from which tests get copies."""

    def __init__(self, databases: Databases, folder: Path) -> None:
        self._databases = databases
        self._folder = folder
        self._stack = ExitStack()
        self._made: dict[str, Database] = {}
        self.home = folder / "home"
        """Working directory of each test; its archive is in `cold`."""

    def close(self) -> None:
        """Give the databases back."""
        self._stack.close()

    def fill(self, tables: Database, name: str) -> None:
        """Give an empty database the rows of one that is kept."""
        kept = self._make(name)
        filled = "SELECT DISTINCT table FROM system.parts WHERE active AND database = "
        for table in kept.query(f"{filled}currentDatabase()")["table"]:
            tables.command(
                f"ALTER TABLE {table} ATTACH PARTITION ALL FROM {kept.client.database}.{table}"
            )

    @contextmanager
    def open(self, name: str, tables: Database) -> Iterator[ColdTier]:
        """Open a copy beside an empty database, in the working directory `home`."""
        self.fill(tables, name)
        self._place_files(name)
        with pytest.MonkeyPatch.context() as patch:
            # The embedded engine reads local Iceberg tables only below the working directory.
            patch.chdir(self.home)
            settings = cold_tables.local_settings(self.home / "cold")
            with closing(open_tier(settings, tables)) as tier:
                yield tier

    def _place_files(self, name: str) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self._folder / name, self.home / "cold")

    def _make(self, name: str) -> Database:
        if name not in self._made:
            tables = self._stack.enter_context(self._databases.one())
            if name == EMPTY:
                shutil.rmtree(self.home, ignore_errors=True)
                cold_tables.open_local(self.home / "cold", tables).close()
            else:
                base, run = _STEPS[name]
                with self.open(base, tables) as tier:
                    run(tier)
            shutil.copytree(self.home / "cold", self._folder / name)
            self._made[name] = tables
        return self._made[name]
