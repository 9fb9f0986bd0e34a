"""Failures that say why: within a cluster the engine ends without a word of it."""

import logging
import os
from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from polars.exceptions import PanicException

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K", bound=type)

_CALLED: Final = (
    "__call__", "build_part", "next_batch", "on_batch", "on_notify", "snapshot", "write_batch",
)  # fmt: skip
"""What the engine calls of sources, steps and sinks."""

_log: Final = logging.getLogger("candlewax")

_told: list[BaseException] = []


def tell() -> None:
    """Log to the standard error, and let errors speak for themselves."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    # The engine's own stack says nothing more.
    os.environ.setdefault("RUST_BACKTRACE", "0")


def failed() -> bool:
    """Whether something of this process has failed."""
    return bool(_told)


def told(action: Callable[P, T]) -> Callable[P, T]:
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
                _log.exception("%s", error)
            raise

    return telling


def tells(kind: K) -> K:
    """The class; what its methods raise to the engine is logged."""
    for name in _CALLED:
        if name in vars(kind):
            setattr(kind, name, told(vars(kind)[name]))
    return kind
