"""Sentences for the known causes that end a process, and the hooks that print them.

The module imports little, so that a command can be interrupted while the rest still loads.
"""

import errno
import os
import re
import resource
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final

INTERRUPTED: Final = 128 + 2
"""Exit status of a command that Ctrl-C ended, by the convention of shells."""

OUTPUT_CLOSED: Final = 128 + 13
"""Exit status of a command whose output was closed, by the convention of shells for SIGPIPE."""

EMBEDDED_FILES: Final = 256
"""File descriptors that a process with an embedded engine needs. The engine opens a file for each
column of the parts that it merges. If it reaches the limit while it starts, it hangs.
"""

EMBEDDED_SPACE: Final = 6 << 30
"""Bytes of address space that a process with an embedded engine maps; most are never used."""

_ROOM: Final = "the disk is full; make room and start again, nothing is stored until then"

_MEMORY: Final = "there is not enough memory; give the process more and start again"


def explain(error: BaseException) -> str | None:
    """Return the sentence for a known error, or None for a defect."""
    chain = list(_chain(error))
    for link in chain:
        kind = type(link)
        if kind.__module__.startswith("candlewax.") and kind.__name__ != "WorkerStopped":
            return str(link)
    texts = " ".join(f"{type(link).__name__} {link}" for link in chain)
    for pattern, sentence in _KNOWN:
        if pattern.search(texts):
            return sentence() if callable(sentence) else sentence
    for link in chain:
        if type(link).__module__.startswith("clickhouse_connect."):
            message = str(link).partition(", Stack trace")[0]
            return explain_no_answer(link) or f"ClickHouse: {message}"
    return None


def explain_no_answer(error: BaseException) -> str | None:
    """Return the sentence for an error of the ClickHouse client, None if the server answered."""
    text = str(error)
    if type(error).__name__ != "OperationalError" or "Code:" in text:
        return None
    reason = re.search(r"\[Errno -?\d+\] ([^'\")\]]+)|(timed out)|(certificate [\w ]+)", text)
    text = next((part for part in reason.groups() if part), "") if reason else ""
    return f"ClickHouse does not answer{f': {text}' if text else ''}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _files() -> str:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return (
        f"no more files can be opened, {limit:,} are the limit; raise it (ulimit -n) and start "
        "again"
    )


_KNOWN: Final[tuple[tuple[re.Pattern[str], str | Callable[[], str]], ...]] = (
    (re.compile(r"NOT_ENOUGH_SPACE|No space left on device|disk is full|disk full"), _ROOM),
    (re.compile(r"Too many open files|\(CANNOT_PIPE\)|\(EPOLL_ERROR\)|unable to open database"),
     _files),
    (re.compile(
        r"MemoryError|Cannot allocate memory|failed to map segment|MEMORY_LIMIT_EXCEEDED"
        r"|CANNOT_ALLOCATE_MEMORY|std::bad_alloc|can't start new thread"), _MEMORY),
    (re.compile(r"Read-only file system"), "the disk of the database takes no writes any more"),
    (re.compile(r"Input/output error"), "the disk of the database fails: input/output error"),
    (re.compile(r"NoPartitionsError|MissingPartitionsError|InconsistentPartitionsError"),
     "the recovery store lacks some of its partitions; restore it, or begin with an empty one"),
    (re.compile(r"No module named 'dataflows\."),
     "there is no such dataflow; there are ingest, silver, ohlcv, tables and repair"),
    (re.compile(r"NotADatabase|file is not a database|malformed"),
     "the recovery store cannot be read; restore it, or begin with an empty one"),
    (re.compile(r"SqliteFailure.*ReadOnly|readonly database"),
     "the recovery store cannot be written to"),
    (re.compile(r"Send thread panic|Recv thread panic|read: no data|[Cc]onnection reset by peer"),
     "another process of the cluster has ended; its log says why. Start all of them again"),
)  # fmt: skip


def require_files(minimum: int) -> None:
    """Raise the limit of open files as allowed. Raises LimitError if it stays below `minimum`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= max(minimum, 1024):
        return
    if hard == resource.RLIM_INFINITY or hard > soft:
        soft = 1 << 16 if hard == resource.RLIM_INFINITY else min(hard, 1 << 16)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft < minimum:
        raise LimitError(
            f"at most {soft:,} files may be open, {minimum:,} are needed; raise the limit "
            "(ulimit -n)"
        )


def require_space(minimum_bytes: int) -> None:
    """Raise LimitError if the process may map less than `minimum_bytes` of address space."""
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft != resource.RLIM_INFINITY and soft < minimum_bytes:
        raise LimitError(
            f"at most {soft >> 20:,} MiB of address space may be used, "
            f"{minimum_bytes >> 20:,} are needed; raise the limit (ulimit -v), "
            "bound the memory by a cgroup instead"
        )


class LimitError(RuntimeError):
    """A limit of the process that is too low; the message names it."""


class _StandardError:
    """Standard error of Python, separate from that of libraries in other languages."""

    def __init__(self) -> None:
        self._python_descriptor = -1
        self._null_descriptor = -1

    def split(self) -> None:
        """Give Python a descriptor of its own, so that descriptor 2 can be silenced."""
        try:
            can_split = self._python_descriptor < 0 and sys.stderr.fileno() == 2
        except (AttributeError, OSError, ValueError):  # it is absent, or a test has replaced it
            return
        if not can_split:
            return
        with suppress(OSError):
            self._null_descriptor = os.open(os.devnull, os.O_WRONLY)
            self._python_descriptor = os.dup(2)
            sys.stderr = os.fdopen(
                self._python_descriptor, "w", 1, errors="backslashreplace", closefd=False
            )

    def silence(self) -> None:
        """Drop what libraries write from now on: they only repeat a failure that was printed."""
        if self._null_descriptor >= 0 and not sys.flags.dev_mode:
            with suppress(OSError):
                os.dup2(self._null_descriptor, 2)


_standard_error: Final = _StandardError()


def silence_libraries() -> None:
    """Drop what libraries in other languages write to the standard error from now on."""
    _standard_error.silence()


@contextmanager
def hold_stderr() -> Iterator[None]:
    """Hold back what libraries write to the standard error inside the block.

    It is written after the block; if the block raises, it is dropped, as the error says more.
    """
    if sys.flags.dev_mode:
        yield
        return
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        original = os.dup(2)
    except OSError:
        yield
        return
    os.dup2(file.fileno(), 2)
    try:
        yield
        file.seek(0)
        with suppress(OSError):
            os.write(original, file.read())
    finally:
        os.dup2(original, 2)
        os.close(original)
        file.close()


def install_hooks() -> None:
    """Print one sentence from now on when a known failure ends the process or a thread."""
    _standard_error.split()
    sys.excepthook = _handle_exception
    threading.excepthook = _handle_thread_exception


failures: Final[list[BaseException]] = []
"""Failure that was logged last in this process; empty if there is none."""


def _handle_exception(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    silence_libraries()
    if isinstance(error, KeyboardInterrupt):
        print_error("interrupted")
        _exit_now(INTERRUPTED)
    cause = failures[0] if failures else error
    sentence = explain(cause) or explain(error)
    if sentence is None or sys.flags.dev_mode:
        sys.__excepthook__(kind, error, traceback)
    print_error(sentence or f"ended by a defect: {type(cause).__name__}: {cause}")


def _exit_now(status: int) -> None:
    """Flush the output and end the process; a normal end would have the status 1."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status)


def _handle_thread_exception(arguments: Any) -> None:  # noqa: ANN401 - threading keeps its type private
    error = arguments.exc_value
    sentence = explain(error) if error else None
    if sentence is None or sys.flags.dev_mode:
        threading.__excepthook__(arguments)
    else:
        print_error(sentence)


def print_error(sentence: str) -> None:
    """Print a sentence to the standard error, if there is one."""
    with suppress(OSError, ValueError):
        print(f"candlewax: {sentence}", file=sys.stderr, flush=True)


def explain_output_error(error: OSError) -> str:
    """Return the sentence for an error in writing to the standard output."""
    if error.errno in (errno.EPIPE, errno.ESHUTDOWN):
        return "the output was closed before all of it was written"
    return f"the output cannot be written: {error.strerror}"
