"""Ends of a process: one sentence for each known cause, and the hooks that print it.

Light to import, so that a command can be interrupted while the rest is still loading.
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
"""Exit status of a command that Ctrl-C ended, as shells give it."""

OUTPUT_CLOSED: Final = 128 + 13
"""Exit status of a command whose reader went away, as shells give it for SIGPIPE."""

EMBEDDED_FILES: Final = 256
"""Descriptors that a process with an embedded engine needs: it opens a file for each column of
the parts it merges, and hangs where it meets the limit as it starts.
"""

EMBEDDED_SPACE: Final = 6 << 30
"""Bytes of address space that a process with an embedded engine maps; most are never used."""

_ROOM: Final = "the disk is full; make room and start again, nothing is stored until then"

_MEMORY: Final = "there is not enough memory; give the process more and start again"


def explain(error: BaseException) -> str | None:
    """Return the sentence for an error of a known kind, or None for a defect."""
    chain = list(_chain(error))
    for found in chain:
        if type(found).__module__.startswith("candlewax.") and type(found).__name__ != "Stopped":
            return str(found)
    texts = " ".join(f"{type(found).__name__} {found}" for found in chain)
    for known, sentence in _KNOWN:
        if known.search(texts):
            return sentence() if callable(sentence) else sentence
    for found in chain:
        if type(found).__module__.startswith("clickhouse_connect."):
            return (
                explain_no_answer(found)
                or f"ClickHouse: {str(found).partition(', Stack trace')[0]}"
            )
    return None


def explain_no_answer(error: BaseException) -> str | None:
    """Return the sentence for a client's error if no server has answered."""
    text = str(error)
    if type(error).__name__ != "OperationalError" or "Code:" in text:
        return None
    found = re.search(r"\[Errno -?\d+\] ([^'\")\]]+)|(timed out)|(certificate [\w ]+)", text)
    why = next((part for part in found.groups() if part), "") if found else ""
    return f"ClickHouse does not answer{f': {why}' if why else ''}"


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


def require_files(least: int) -> None:
    """Let as many files be opened as the system allows. Raises LimitError below `least`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= max(least, 1024):
        return
    if hard == resource.RLIM_INFINITY or hard > soft:
        soft = 1 << 16 if hard == resource.RLIM_INFINITY else min(hard, 1 << 16)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft < least:
        raise LimitError(
            f"at most {soft:,} files may be open, {least:,} are needed; raise the limit (ulimit -n)"
        )


def require_space(least: int) -> None:
    """Raise LimitError if the process may map less than `least` bytes of memory."""
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    if soft != resource.RLIM_INFINITY and soft < least:
        raise LimitError(
            f"at most {soft >> 20:,} MiB of address space may be used, {least >> 20:,} are needed; "
            "raise the limit (ulimit -v), bound the memory by a cgroup instead"
        )


class LimitError(RuntimeError):
    """A limit of the process is too low; the text says which."""


class _StandardError:
    """The standard error, apart from what libraries of other languages write there."""

    def __init__(self) -> None:
        self._native = -1
        self._null = -1

    def split(self) -> None:
        """Give Python a descriptor of its own, so that the other can be silenced."""
        try:
            own = self._native < 0 and sys.stderr.fileno() == 2
        except (AttributeError, OSError, ValueError):  # there is none, or a test has replaced it
            return
        if not own:
            return
        with suppress(OSError):
            self._null = os.open(os.devnull, os.O_WRONLY)
            self._native = os.dup(2)
            sys.stderr = os.fdopen(self._native, "w", 1, errors="backslashreplace", closefd=False)

    def silence(self) -> None:
        """Drop what libraries write from now on; it only repeats a failure that is told."""
        if self._null >= 0 and not sys.flags.dev_mode:
            with suppress(OSError):
                os.dup2(self._null, 2)


_standard_error: Final = _StandardError()


def silence_libraries() -> None:
    """Drop what other languages' libraries write to the standard error from now on."""
    _standard_error.silence()


@contextmanager
def hold_stderr() -> Iterator[None]:
    """Keep back what libraries write to the standard error: it is dropped if the block raises,
    as the error says it better, else written when the block is over.
    """
    if sys.flags.dev_mode:
        yield
        return
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
        kept = os.dup(2)
    except OSError:
        yield
        return
    os.dup2(file.fileno(), 2)
    try:
        yield
        file.seek(0)
        with suppress(OSError):
            os.write(kept, file.read())
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        file.close()


def begin() -> None:
    """End with one sentence from now on, whatever is known to end a process."""
    _standard_error.split()
    sys.excepthook = _end
    threading.excepthook = _thread_ended


told: Final[list[BaseException]] = []
"""The failure of this process, if it had one."""


def _end(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    silence_libraries()
    if isinstance(error, KeyboardInterrupt):
        print_error("interrupted")
        _leave(INTERRUPTED)
    cause = told[0] if told else error
    sentence = explain(cause) or explain(error)
    if sentence is None or sys.flags.dev_mode:
        sys.__excepthook__(kind, error, where)
    print_error(sentence or f"ended by a defect: {type(cause).__name__}: {cause}")


def _leave(status: int) -> None:
    """End now: the interpreter would make a status of 1."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status)


def _thread_ended(arguments: Any) -> None:  # noqa: ANN401 - threading keeps its type private
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
    """Return the sentence for a standard output that takes no more."""
    if error.errno in (errno.EPIPE, errno.ESHUTDOWN):
        return "the output was closed before all of it was written"
    return f"the output cannot be written: {error.strerror}"
