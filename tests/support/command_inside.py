"""Commands and starts of dataflows in this process: for what needs no process of its own, as
to start one takes longer than most of what it is asked.
"""

import gc
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module

import pytest
from prometheus_client import REGISTRY

from candlewax.cli.main import main
from candlewax.runtime import errors
from tests.support.processes import ROOT


@dataclass(frozen=True)
class Done:
    """How it ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


def command(*arguments: str, **settings: str) -> Done:
    """What `candlewax` does with these arguments and settings. No directory may be opened:
    the engine of this process has its own.
    """
    return _ended(lambda: main(arguments), settings)


def flow(name: str, **settings: str) -> Done:
    """What the start of a dataflow does that cannot begin."""
    return _ended(lambda: import_module(f"dataflows.{name}").flow, settings)


def _ended(action: Callable[[], object], settings: dict[str, str]) -> Done:
    # Some answers are bytes.
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    with _settings(settings), _hooks(), redirect_stdout(out), redirect_stderr(err):
        with pytest.raises(SystemExit) as ended:
            action()
        code = ended.value.code
        if isinstance(code, str):  # as the interpreter does
            print(code, file=err)
            code = 1
        out.flush()
        err.flush()
    said, complained = (text.buffer.getvalue().decode() for text in (out, err))
    return Done(code or 0, said, complained)


@contextmanager
def _hooks() -> Iterator[None]:
    """Leave to the tests the signals, hooks, pace and metrics that a process sets for itself."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in numbers]
    hooks = sys.excepthook, threading.excepthook
    collects, switches = gc.get_threshold(), sys.getswitchinterval()
    collectors = set(REGISTRY._collector_to_names)  # noqa: SLF001 - there is no other way
    yield
    for collector in set(REGISTRY._collector_to_names) - collectors:  # noqa: SLF001
        REGISTRY.unregister(collector)
    sys.excepthook, threading.excepthook = hooks
    gc.set_threshold(*collects)
    sys.setswitchinterval(switches)
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@contextmanager
def _settings(settings: dict[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        # What failed in a test before this one is no failure of this process.
        patch.setattr(errors, "_failures", [])
        for name in os.environ:
            if name.startswith("CANDLEWAX_"):
                patch.delenv(name)
        for name, text in {"COLUMNS": "200", **settings}.items():
            patch.setenv(name, text)
        yield
