"""A server that dies and is started again while rows come."""

import itertools
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database, connect, open_tables
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import Writer
from candlewax.runtime.counters import Counters
from candlewax.runtime.setting_parsers import Server
from tests.clickhouse.test_writer import batch, count
from tests.support import stored
from tests.support.clickhouse_process import Serving, serving
from tests.support.faulty_clickhouse import CLOSED, LOST, RESET, faulty
from tests.support.kafka.system import market, record
from tests.support.processes import FLOW, run

pytestmark = pytest.mark.slow("a server is started again and again", seconds=30)

USER, PASSWORD = "can dle", "p@ss:/w%2F?#é&"

_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that tests end, and start again."""
    with serving(tmp_path_factory.mktemp("server"), USER, PASSWORD) as server:
        yield server


@contextmanager
def fresh(dsn: str) -> Iterator[Database]:
    """Open an empty database."""
    with closing(open_tables(Server(dsn), f"market_{next(_numbers)}")) as opened:
        yield opened


def test_server_killed_after_each_insert_holds_each_row_once(own: Serving) -> None:
    """Its answer is lost, and the row is sent again."""
    with faulty(own.port) as between, fresh(_through(own, between.server_port)) as opened:
        between.after = lambda: own.end(signal.SIGKILL)
        between.faults += [LOST] * 4
        store = Writer(opened, Counters(), background=False, wait=lambda _: own.start())
        store.put(batch())
        store.flush()
        store.put(batch(1))
        store.flush()
        assert between.faults == []
        assert count(opened, "bronze_frames") == count(opened, "silver_trades") == 2


def _through(own: Serving, port: int) -> str:
    return own.dsn.replace(f":{own.port}", f":{port}")


def test_server_that_dies_while_rows_come_holds_each_row_once(own: Serving) -> None:
    """Killed and stopped at any moment."""
    over, there = threading.Event(), threading.Event()

    def strike() -> None:
        for number in range(3):
            over.wait(0.07 * number)
            there.clear()
            own.end(signal.SIGTERM if number == 1 else signal.SIGKILL)
            own.start()
            there.set()

    with fresh(own.dsn) as opened:
        # However long it takes to start: what waits counts its tries.
        store = Writer(opened, Counters(), background=True, wait=lambda _: there.wait(60))
        striking = threading.Thread(target=strike)
        striking.start()
        days = 0
        while striking.is_alive() or days < 10:
            store.put(batch(days))
            store.flush()
            days += 1
        striking.join()
        store.close()
        assert count(opened, "bronze_frames") == count(opened, "silver_trades") == days


def test_state_is_read_once_the_server_is_back(own: Serving) -> None:
    """It was away as a process began to read what is stored."""
    with fresh(own.dsn) as opened:
        own.end()
        assert StateLoader(opened, wait=lambda _: own.start()).load_watermark("x") == 0


def test_recording_is_stored_whole_though_the_server_dies(own: Serving, tmp_path: Path) -> None:
    """The dataflow waits for it; no directory is needed, and no password is told."""
    frames = market(500, seed=8)
    feed = record(tmp_path / "market.tsv", frames)
    name = f"market_{next(_numbers)}"
    with faulty(own.port) as between:

        def strike() -> None:
            own.end(signal.SIGKILL)
            own.start()

        between.after = strike
        between.faults += [None, LOST, CLOSED, LOST, RESET, (500, 252)]
        dsn = _through(own, between.server_port)
        user = tmp_path / "user"
        user.mkdir()
        settings = {"CANDLEWAX_DATABASE": name, "CANDLEWAX_FEED": str(feed)}
        done = run(user, *FLOW, CANDLEWAX_CLICKHOUSE=dsn, **settings)
        assert done.returncode == 0, done.stderr
        assert between.faults == []
        assert "trying again" in done.stderr
        assert "equal those that SQL computes" in done.stdout
        told = done.stdout + done.stderr
        assert not [word for word in (PASSWORD, own.dsn, dsn) if word in told]
        with closing(connect(Server(own.dsn), name)) as tables:
            stored.check(frames, tables)
        assert list(user.iterdir()) == []
