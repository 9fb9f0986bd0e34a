"""Logging of failures in the engine's callbacks: in a cluster the engine ends without a message."""

import importlib
import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from polars.exceptions import PanicException

from candlewax.runtime import exit_reasons
from candlewax.runtime.log_settings import LogSettings, apply_log_settings

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K", bound=type)

_CALLBACKS: Final = (
    "__call__", "build_part", "next_batch", "on_batch", "on_notify", "snapshot", "write_batch",
)  # fmt: skip
"""Methods of sources, steps and sinks that the engine calls."""

_log: Final = logging.getLogger("candlewax")

_failures: Final = exit_reasons.failures


def configure_logging(settings: LogSettings | None = None) -> None:
    """Log to the standard error, and end the process with one sentence for a known failure.

    A start first logs by default settings, and again by its own once these are read.

    Stacks of known failures are logged at debug level: by CANDLEWAX_LOG_LEVEL, `python -X dev`, or
    PYTHONDEVMODE=1.
    """
    exit_reasons.install_hooks()
    logging.basicConfig(level=logging.INFO)
    apply_log_settings(settings or LogSettings())
    if not sys.flags.dev_mode:
        # The engine's own stack adds nothing.
        os.environ["RUST_BACKTRACE"] = "0"
    # The engine imports it when it fails, and may then have no file descriptor left.
    importlib.import_module("bytewax.errors")


def has_failed() -> bool:
    """Return True if a failure was logged in this process."""
    return bool(_failures)


def log_failure(action: Callable[P, T]) -> Callable[P, T]:
    """Decorator for a function: log what it raises, once for each error, then re-raise."""

    @wraps(action)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return action(*args, **kwargs)
        except StopIteration:
            raise
        except (Exception, PanicException) as error:
            if error not in _failures:
                _failures[:] = [error]
                _log_failure(error)
            raise

    return wrapper


def _log_failure(error: BaseException) -> None:
    sentence = exit_reasons.explain(error)
    if sentence is None:
        _log.exception("%s", error)
        return
    # In a cluster nothing else reports it: the engine ends the process from another thread.
    _log.error("%s", sentence)
    _log.debug("%s", error, exc_info=error)
    exit_reasons.silence_libraries()


def log_failures(kind: K) -> K:
    """Decorator for a class: log what its engine callbacks raise, then re-raise."""
    for name in _CALLBACKS:
        if name in vars(kind):
            setattr(kind, name, log_failure(vars(kind)[name]))
    return kind
