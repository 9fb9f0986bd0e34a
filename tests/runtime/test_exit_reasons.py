"""Known ends of a process print one sentence, without a traceback, and set the exit status."""

import errno
import os
import resource
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from clickhouse_connect.driver import exceptions

from candlewax.runtime import exit_reasons
from candlewax.runtime.settings import SettingsError
from tests.faults.disk import Disk
from tests.support import command_inside
from tests.support.clickhouse_process import serving
from tests.support.ending import AT_FIRST_INSERT, WITHIN, check, command, end, within
from tests.support.processes import FLOW, ROOT, environment, query

pytestmark = pytest.mark.slow("nearly every test starts a process", seconds=20)


@pytest.mark.parametrize("most", [8, 64])
def test_too_few_file_descriptors_at_the_start_are_reported(tmp_path: Path, most: int) -> None:
    """The engine would hang or crash."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    check(end(tmp_path, *FLOW, before=limit), f"at most {most} files may be open, 256 are needed")


def test_soft_limit_of_file_descriptors_is_raised(tmp_path: Path) -> None:
    """Up to the hard limit."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096))

    done = end(tmp_path, *command("init"), before=limit)
    assert (done.returncode, done.stderr) == (0, "")


def test_exhausted_file_descriptors_of_a_running_process_are_reported(tmp_path: Path) -> None:
    """From the first insert on no file can be opened."""
    hard = "resource.getrlimit(resource.RLIMIT_NOFILE)[1]"
    change = f"resource.setrlimit(resource.RLIMIT_NOFILE, (3, {hard}))"
    done = end(tmp_path, *within(AT_FIRST_INSERT.format(change=change)))
    check(done, "no more files can be opened, 3 are the limit")


def test_too_little_address_space_is_reported(tmp_path: Path) -> None:
    """The library of the engine would fail to load, or hang."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))

    check(end(tmp_path, *command("init"), before=limit), "2,048 MiB of address space")


@pytest.mark.skipif(not Disk.possible(), reason="it takes root to make a small disk")
def test_full_disk_of_a_running_process_is_reported(tmp_path: Path) -> None:
    """The output says that not all received frames are stored."""
    with closing(Disk(tmp_path / "clickhouse", 90 << 20)) as disk:
        begun = end(tmp_path, *disk.within(command("init")))
        assert begun.returncode == 0, begun.stderr
        disk.resize(disk.used() + (64 << 20) + (1 << 18))
        done = end(tmp_path, *disk.within(FLOW))
        check(done, "the disk is full; make room and start again")
        assert "not all that was read is stored" in done.stdout


def test_server_that_stays_away_is_reported(tmp_path: Path) -> None:
    """It is killed at the first insert; retries are shortened."""
    with serving(tmp_path / "clickhouse") as front:
        change = "clickhouse.RETRIES = (0.01, 0.01)\n" + AT_FIRST_INSERT.format(
            change=f"os.kill({front.pid}, signal.SIGKILL)"
        )
        done = end(tmp_path, *within(change), CANDLEWAX_CLICKHOUSE=front.dsn)
    lines = [line for line in done.stderr.splitlines() if "trying again" not in line]
    done.stderr = "\n".join(lines)
    check(done, "ClickHouse does not answer")


@pytest.mark.parametrize("flow", [True, False])
def test_server_away_at_the_start_is_reported_in_one_line(flow: bool) -> None:
    """Without messages of the client or its pool, and without the password."""
    away = {"CANDLEWAX_CLICKHOUSE": "http://me:secret@127.0.0.1:1"}
    done = (
        command_inside.flow("ohlcv", **away)
        if flow
        else command_inside.command("sql", "SELECT 1", **away)
    )
    assert done.stderr == (
        "candlewax: http://127.0.0.1:1: ClickHouse does not answer: Connection refused\n"
    )
    assert done.returncode == 1


def test_sigterm_during_the_start_ends_with_0(tmp_path: Path) -> None:
    """SIGTERM arrives while the tables are opened; no frame is read."""
    change = (
        "from candlewax.pipeline import data_kind\n"
        "opened = data_kind.open_tables\n"
        "def struck(*where):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return opened(*where)\n"
        "data_kind.open_tables = struck\n"
    )
    done = end(tmp_path, *within(change))
    assert (done.returncode, done.stderr) == (0, "")
    assert query(tmp_path, "SELECT count() FROM bronze_frames") == [["0"]]


@pytest.mark.parametrize("package", ["dataflows", "candlewax.cli.main"])
def test_interrupt_during_imports_is_reported(tmp_path: Path, package: str) -> None:
    """Before the settings are read."""
    begin = (
        "; from candlewax.runtime import exit_reasons; exit_reasons.install_hooks()"
        if package == "candlewax.cli.main"
        else ""
    )
    code = f"import os, signal; import {package}{begin}; os.kill(os.getpid(), signal.SIGINT)"
    check(end(tmp_path, sys.executable, "-c", code), "interrupted", exit_reasons.INTERRUPTED)


def run_with_closed_output(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose output has no reader."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as closed:
        return subprocess.run(
            words,
            cwd=ROOT,
            env=environment(folder),
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=240,
            check=False,
        )


def test_closed_output_ends_a_command_but_not_a_dataflow(tmp_path: Path) -> None:
    """A dataflow continues to store; a command reports the lost output."""
    log = tmp_path / "empty.tsv"
    log.write_text("")
    code = f"import os; os.environ['CANDLEWAX_FEED'] = {str(log)!r}\n" + WITHIN.format(change="")
    run = run_with_closed_output(tmp_path, sys.executable, "-c", code)
    assert run.returncode == 0, run.stderr
    assert "the output was closed before all of it was written; the run goes on" in run.stderr
    queried = run_with_closed_output(
        tmp_path, *command("sql", "SELECT number FROM numbers(100000)")
    )
    assert queried.returncode == exit_reasons.OUTPUT_CLOSED
    assert queried.stderr == "candlewax: the output was closed before all of it was written\n"


def test_zero_workers_are_refused(tmp_path: Path) -> None:
    """Bytewax would run no dataflow and end with 0."""
    check(end(tmp_path, *FLOW, "-w", "0"), "-w: got 0, takes a number of workers")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (exceptions.DatabaseError("Code: 243. (NOT_ENOUGH_SPACE)"), "the disk is full"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "the disk is full"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "no more files can be opened"),
        (exceptions.DatabaseError("Code: 298. (CANNOT_PIPE)"), "no more files can be opened"),
        (MemoryError(), "not enough memory"),
        (exceptions.DatabaseError("Code: 241. (MEMORY_LIMIT_EXCEEDED)"), "not enough memory"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "takes no writes any more"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "input/output error"),
        (exceptions.OperationalError("HTTPConnectionPool: [Errno 113] No route to host')"),
         "ClickHouse does not answer: No route to host"),
        (exceptions.DatabaseError("Code: 60. DB::Exception: no table, Stack trace: 0x1"),
         "ClickHouse: Code: 60. DB::Exception: no table"),
        (SettingsError("CANDLEWAX_X: wrong"), "CANDLEWAX_X: wrong"),
        (ZeroDivisionError("division by zero"), None),
    ],
)  # fmt: skip
def test_error_is_explained_by_itself_and_as_a_cause(
    error: Exception, sentence: str | None
) -> None:
    """A defect has no explanation: its traceback is printed."""
    wrapper = RuntimeError("storing failed")
    wrapper.__cause__ = error
    for raised in (error, wrapper):
        explanation = exit_reasons.explain(raised)
        assert explanation is None if sentence is None else explanation and sentence in explanation
