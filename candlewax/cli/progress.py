"""Progress of long work: a bar with rate and time left on a terminal, otherwise nothing."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console, RenderableType
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

_SLOW: Final = 10
"""Units a second below which a rate has a decimal."""


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

    def show(self, done: int, total: int, text: str = "") -> None:
        """Show how many units of all are done; other `text` begins another piece of work."""
        if text and text != self._task.description:
            self._progress.reset(self._task.id, description=text)
        self._progress.update(self._task.id, completed=done, total=total)


@contextmanager
def show_progress(text: str, total: int | None, unit: str) -> Iterator[ProgressBar]:
    """Show a bar on standard error while work is done, if that is a terminal.

    `total` is the number of units in all; None: unknown. `unit` is their name, in the plural. Lines
    that are printed meanwhile, by `print` and no console, stand above the bar.
    """
    with _bars(unit, None) as progress:
        task = progress.add_task(text, total=total)
        yield ProgressBar(progress, progress.tasks[task])


@contextmanager
def show_count(text: str, total: int | None, unit: str, read: Callable[[], int]) -> Iterator[None]:
    """Show a bar as `show_progress` does; `read` returns the units done, from any thread."""
    with _bars(unit, read) as progress:
        progress.add_task(text, total=total)
        yield


def shows_progress() -> bool:
    """Return True if progress is shown, so that it is worth to find out how much there is."""
    return Console(file=sys.stderr).is_terminal


def _bars(unit: str, read: Callable[[], int] | None) -> Progress:
    console = Console(file=sys.stderr, soft_wrap=True)
    return _Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        _Rate(unit),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        refresh_per_second=_INTERVAL,
        # Lines that go elsewhere than to this terminal must not be drawn above the bar.
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        disable=not console.is_terminal,
        read=read,
    )


class _Bars(Progress):
    """Bars that read how far they are each time they are drawn."""

    def __init__(
        self,
        *columns: str | ProgressColumn,
        read: Callable[[], int] | None,
        **options: Any,  # noqa: ANN401 - those of Progress
    ) -> None:
        self._read = read
        super().__init__(*columns, **options)

    def get_renderables(self) -> Iterable[RenderableType]:
        if self._read:
            for task in self.tasks:
                self.update(task.id, completed=self._read())
        yield from super().get_renderables()


class _Rate(ProgressColumn):
    """Units a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if speed is None:
            return Text("")
        return Text(f"{speed:,.{0 if speed >= _SLOW else 1}f} {self._unit}/s")
