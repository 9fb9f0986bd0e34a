"""Failures that say why: within a cluster the engine ends without a word of it."""

import importlib
import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from polars.exceptions import PanicException

from candlewax.runtime import exit_reasons

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K", bound=type)

_CALLED: Final = (
    "__call__", "build_part", "next_batch", "on_batch", "on_notify", "snapshot", "write_batch",
)  # fmt: skip
"""What the engine calls of sources, steps and sinks."""

_log: Final = logging.getLogger("candlewax")

_told: Final = exit_reasons.told


def configure_logging() -> None:
    """Log to the standard error, and let errors speak for themselves.

    Stacks of known failures are logged at debug level: with `python -X dev`, or
    PYTHONDEVMODE=1.
    """
    exit_reasons.begin()
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    if sys.flags.dev_mode:
        _log.setLevel(logging.DEBUG)
    else:
        # The engine's own stack says nothing more.
        os.environ["RUST_BACKTRACE"] = "0"
    # The engine asks for them as it fails, when no file may be opened any more.
    importlib.import_module("bytewax.errors")


def has_failed() -> bool:
    """Whether something of this process has failed."""
    return bool(_told)


def log_failure(action: Callable[P, T]) -> Callable[P, T]:
    """The action; what it raises is logged, once however far it goes."""

    @wraps(action)
    def telling(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return action(*args, **kwargs)
        except StopIteration:
            raise
        except (Exception, PanicException) as error:
            if error not in _told:
                _told[:] = [error]
                _log_failure(error)
            raise

    return telling


def _log_failure(error: BaseException) -> None:
    sentence = exit_reasons.explain(error)
    if sentence is None:
        _log.exception("%s", error)
        return
    # Within a cluster nothing else says it: the engine ends the process in another thread.
    _log.error("%s", sentence)
    _log.debug("%s", error, exc_info=error)
    exit_reasons.silence_libraries()


def log_failures(kind: K) -> K:
    """The class; what its methods raise to the engine is logged."""
    for name in _CALLED:
        if name in vars(kind):
            setattr(kind, name, log_failure(vars(kind)[name]))
    return kind
