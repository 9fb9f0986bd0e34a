"""Processes that write the archive until they are killed."""

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from candlewax.clickhouse.client import connect
from candlewax.cold.maintenance.maintain import maintain
from candlewax.cold.tier import ColdTier, open_tier
from candlewax.runtime.cold_settings import ColdSettings, reach_archive
from candlewax.runtime.setting_parsers import Server


@dataclass(frozen=True)
class Target:
    """Database and archive that the processes share."""

    dsn: str
    database: str
    settings: ColdSettings


@contextmanager
def open_target(target: Target) -> Iterator[ColdTier]:
    """Open both, each process for itself."""
    logging.disable(logging.CRITICAL)
    reach_archive(target.settings)
    with (
        closing(connect(Server(target.dsn), target.database)) as database,
        closing(open_tier(target.settings, database)) as tier,
    ):
        yield tier


def offload(target: Target, errors: Path) -> None:
    """Run rounds over all units without end; append what goes wrong to a file."""
    with open_target(target) as tier:
        while True:
            for error in tier.offloader.run_round(every_unit=True).errors:
                _note(errors, error)


def look_after(target: Target, errors: Path) -> None:
    """Compact, expire and sweep without end."""
    with open_target(target) as tier:
        while True:
            for error in maintain(tier, tier.warm.now()).errors:
                _note(errors, error)
            time.sleep(0.2)


def _note(errors: Path, text: str) -> None:
    with errors.open("a", encoding="utf-8") as file:
        file.write(f"{text}\n")
