"""Progress of long work: a bar with rate and time left on a terminal, otherwise nothing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

_INTERVAL: Final = 4
"""Redraws a second."""


class ProgressBar:
    """Bar of one piece of work, which counts its units."""

    def __init__(self, progress: Progress, task: Task) -> None:
        self._progress = progress
        self._task = task

    def advance(self, units: int, text: str = "") -> None:
        """Count units that were done; `text` names what is under way."""
        self._progress.update(self._task.id, advance=units)
        if text:
            self._progress.update(self._task.id, description=text)


@contextmanager
def show_progress(text: str, total: int | None, unit: str) -> Iterator[ProgressBar]:
    """Show a bar on standard error while work is done, if that is a terminal.

    `total` is the number of units in all; None: unknown. `unit` is their name, in the plural.
    """
    console = Console(file=sys.stderr, soft_wrap=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        _Rate(unit),
        TimeRemainingColumn(compact=True),
    )
    with Progress(
        *columns,
        console=console,
        transient=True,
        refresh_per_second=_INTERVAL,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(text, total=total)
        yield ProgressBar(progress, progress.tasks[task])


class _Rate(ProgressColumn):
    """Units a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {self._unit}/s")
