"""Signals that stop a process."""

import atexit
import signal
from collections.abc import Iterator

import pytest

from candlewax.runtime.shutdown import ShutdownSignal

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the handlers of this process as they are."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    monkeypatch.setattr(atexit, "register", lambda *_: None)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_signal_sets_the_flag(number: signal.Signals) -> None:
    """SIGHUP as well: it comes when a terminal is closed."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    shutdown = ShutdownSignal()
    shutdown.listen()
    assert not shutdown()
    signal.raise_signal(number)
    assert shutdown()


def test_ignored_sighup_stays_ignored() -> None:
    """As below nohup, which lets a program outlive its terminal."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    shutdown = ShutdownSignal()
    shutdown.listen()
    signal.raise_signal(signal.SIGHUP)
    assert not shutdown()
