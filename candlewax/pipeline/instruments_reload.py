"""Takes up a changed instruments file on SIGHUP, while the process goes on."""

import logging
import signal
import threading
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from candlewax.core.instruments import FileContent, InstrumentsError
from candlewax.core.instruments import load as load_instruments
from candlewax.data import INSTRUMENTS
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.settings import Settings, find_instruments
from candlewax.runtime.shutdown import ShutdownSignal
from candlewax.runtime.terminal import leave_lost_terminal

_log = logging.getLogger("candlewax")


# A simple queue may be filled in the midst of anything, as a signal comes.
_signals: SimpleQueue[bool] = SimpleQueue()
"""Signals to handle: whether the terminal of the process is gone."""


def hold_signals(settings: Settings, shutdown: ShutdownSignal) -> None:
    """Keep each SIGHUP from now on until it is handled; call it in the main thread.

    If the terminal of the process is gone, SIGHUP tells that, and the process stops. A replay does
    not follow the file: SIGHUP stops it, as it listens to it otherwise.
    """
    if settings.is_live or settings.brokers:
        signal.signal(signal.SIGHUP, partial(_hold, shutdown))


def _hold(shutdown: ShutdownSignal, *_: object) -> None:
    is_lost = leave_lost_terminal()
    if is_lost:
        shutdown.set()
    _signals.put(is_lost)


class InstrumentsReload:
    """Reader of the instruments file at each SIGHUP, in a thread of its own.

    A file that cannot be read, or that gives a known market another unified symbol, is refused with
    an error in the log, and the markets stay as they are.
    """

    def __init__(self, settings: Settings, process: ProcessContext) -> None:
        self._settings = settings
        self._process = process

    def listen(self) -> None:
        """Take up the file at each SIGHUP that was held, and at those to come."""
        threading.Thread(target=self._run, name="instruments", daemon=True).start()

    def _run(self) -> None:
        while True:
            if _signals.get():
                _log.warning("the terminal is gone: the process stops")
            else:
                self.take_up()

    def take_up(self) -> None:
        """Take up the file as it is now, or log why it is refused."""
        path = self._path()
        instruments, before = self._process.instruments, self._process.instruments.content
        try:
            content = load_instruments(path).content
            _require_present(path)
            instruments.take_up(content)
        except InstrumentsError as error:
            _log.error("instruments: %s. The markets stay as they are", _named(path, error))
            return
        for follow in self._process.instrument_followers:
            try:
                follow()
            except Exception:  # noqa: BLE001 - the others must follow all the same
                _log.exception(
                    "instruments: a part could not follow the change; the next SIGHUP tries again"
                )
        # Last: the line tells that a new market is subscribed, or known, and stored as such.
        self._log_changes(path, before, content)

    def _path(self) -> Path:
        """Return the file to read, which may be in the working directory since the start."""
        path = self._settings.instruments
        return find_instruments() if path in (INSTRUMENTS, Path(INSTRUMENTS.name)) else path

    def _log_changes(self, path: Path, before: FileContent, after: FileContent) -> None:
        added, dropped = _missing(after, before), _missing(before, after)
        _log.info(
            "instruments: %s is taken up; added: %s; dropped: %s",
            path, _listed(added), _listed(dropped),
        )  # fmt: skip
        unknown = sorted(
            {name for name, symbols in after.subscribed.items() if symbols}
            - set(self._process.exchanges)
        )
        if unknown and self._settings.exchanges is None:
            _log.warning("instruments: %s: new exchanges take a restart", ", ".join(unknown))


def _require_present(path: Path) -> None:
    """Raise InstrumentsError if another file took the place of this one, as below a mount."""
    try:
        is_replaced = path.stat().st_nlink == 0
    except OSError as error:
        raise InstrumentsError(f"{path}: {error.strerror}") from error
    if is_replaced:
        raise InstrumentsError(
            f"{path}: the file that is mounted here was replaced by another one, which this "
            "container cannot see: write into the file itself, or restart the container"
        )


def _missing(content: FileContent, other: FileContent) -> list[str]:
    """Return the markets that only the first file subscribes, as `exchange symbol`."""
    return [
        f"{exchange} {symbol}"
        for exchange, symbols in content.subscribed.items()
        for symbol in symbols
        if symbol not in other.subscribed.get(exchange, ())
    ]


def _listed(markets: list[str]) -> str:
    shown = ", ".join(markets[:20]) or "none"
    return shown + (f" and {len(markets) - 20:,} more" if len(markets) > 20 else "")


def _named(path: Path, error: InstrumentsError) -> str:
    text = str(error)
    return text if str(path) in text else f"{path}: {text}"
