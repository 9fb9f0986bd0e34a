"""A server that dies and is restarted while rows are inserted."""

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
from tests.support import stored
from tests.support.clickhouse_process import PASSWORD, Serving
from tests.support.faulty_clickhouse import CLOSED, LOST, RESET, faulty
from tests.support.kafka.system import market, record
from tests.support.processes import FLOW, run
from tests.support.writer_batches import batch, count

pytestmark = [
    pytest.mark.slow("a server is started again and again", seconds=30),
    pytest.mark.usefixtures("no_proxy"),
]

_numbers = itertools.count()


@contextmanager
def fresh(dsn: str) -> Iterator[Database]:
    """Open an empty database."""
    with closing(open_tables(Server(dsn), f"market_{next(_numbers)}")) as opened:
        yield opened


def test_server_killed_after_each_insert_holds_each_row_once(server: Serving) -> None:
    """The answer is lost, and the insert is sent again."""
    with faulty(server.port) as proxy, fresh(_through(server, proxy.server_port)) as opened:
        proxy.after = lambda: server.end(signal.SIGKILL)
        proxy.faults += [LOST] * 4
        store = Writer(opened, Counters(), background=False, wait=lambda _: server.start())
        store.put(batch())
        store.flush()
        store.put(batch(1))
        store.flush()
        assert proxy.faults == []
        assert count(opened, "bronze_frames") == count(opened, "silver_trades") == 2


def _through(server: Serving, port: int) -> str:
    return server.dsn.replace(f":{server.port}", f":{port}")


def test_server_that_dies_during_inserts_holds_each_row_once(server: Serving) -> None:
    """Killed or stopped at any moment."""
    over, is_up = threading.Event(), threading.Event()

    def strike() -> None:
        for number in range(3):
            over.wait(0.07 * number)
            is_up.clear()
            server.end(signal.SIGTERM if number == 1 else signal.SIGKILL)
            server.start()
            is_up.set()

    with fresh(server.dsn) as opened:
        # However long the start takes: each wait of the writer counts as a retry.
        store = Writer(opened, Counters(), background=True, wait=lambda _: is_up.wait(60))
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


def test_state_is_read_once_the_server_is_back(server: Serving) -> None:
    """It was away when the process began to read its state."""
    with fresh(server.dsn) as opened:
        server.end()
        assert StateLoader(opened, wait=lambda _: server.start()).load_watermark("x") == 0


def test_recording_is_stored_completely_though_the_server_dies(
    server: Serving, tmp_path: Path
) -> None:
    """The dataflow waits for it, creates no directory, and prints no password."""
    frames = market(500, seed=8)
    feed = record(tmp_path / "market.tsv", frames)
    name = f"market_{next(_numbers)}"
    with faulty(server.port) as proxy:

        def strike() -> None:
            server.end(signal.SIGKILL)
            server.start()

        proxy.after = strike
        proxy.faults += [None, LOST, CLOSED, LOST, RESET, (500, 252)]
        dsn = _through(server, proxy.server_port)
        user = tmp_path / "user"
        user.mkdir()
        settings = {"CANDLEWAX_DATABASE": name, "CANDLEWAX_FEED": str(feed)}
        done = run(user, *FLOW, CANDLEWAX_CLICKHOUSE=dsn, **settings)
        assert done.returncode == 0, done.stderr
        assert proxy.faults == []
        assert "trying again" in done.stderr
        assert "equal those that SQL computes" in done.stdout
        output = done.stdout + done.stderr
        assert not [word for word in (PASSWORD, server.dsn, dsn) if word in output]
        with closing(connect(Server(server.dsn), name)) as tables:
            stored.check(frames, tables)
        assert list(user.iterdir()) == []
