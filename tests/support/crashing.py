"""Runs that fail after an insert, and recovery stores for the runs after them."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bytewax.recovery import init_db_dir

from candlewax.clickhouse.client import Database
from tests.support.oracle import Fill
from tests.support.playing import EPOCH_ZERO, Frame, binance, play


def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an empty recovery store."""
    folder = tmp_path_factory.mktemp("recovery")
    init_db_dir(folder, 1)
    return folder


def minutes(count: int) -> list[Frame]:
    """Frames of a trade a second; some in the middle never came."""
    fills = [
        Fill("binance", "BTC/USDT", str(n), n, EPOCH_ZERO + n * 1_000_000, n % 2 > 0,
             Decimal(n * 7919 % 100 + 1), Decimal(n))
        for n in range(1, count)
        if not 40 < n < 45
    ]  # fmt: skip
    return [binance(n, fill.time + 9, fill) for n, fill in enumerate(fills)]


class BrokenError(Exception):
    """A crash made for a test."""


def crash(items: list[Any], tables: Database, last: int, folder: Path | None = None) -> bool:
    """Play until this many inserts are done, and fail; tells whether it came to that."""
    with crashing(last) as crashed:
        play(items, tables, folder)
    return bool(crashed)


@contextmanager
def crashing(last: int) -> Iterator[list[BaseException]]:
    """Let what is done fail once this many inserts are done; gives how it has failed."""
    crashed: list[BaseException] = []
    with pytest.MonkeyPatch.context() as patch:
        _crash_after(patch, last)
        try:
            yield crashed
        except RuntimeError as error:  # the writer's, or the engine's about it
            if not _is_ours(error):
                raise
            crashed.append(error)


def _is_ours(error: BaseException | None) -> bool:
    """Whether the crash that was made is behind an error."""
    return error is not None and (isinstance(error, BrokenError) or _is_ours(error.__cause__))


def _crash_after(patch: pytest.MonkeyPatch, last: int) -> None:
    """Let the process fail once this many inserts are done."""
    insert = Database.insert
    done = 0

    def once_more(self: Database, *arguments: object) -> None:
        nonlocal done
        if done == last:
            raise BrokenError
        insert(self, *arguments)  # type: ignore[arg-type]
        done += 1

    patch.setattr(Database, "insert", once_more)
