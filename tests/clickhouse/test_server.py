"""A server instead of a directory: the same tables, over sockets that may fail."""

import itertools
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError as ServerError

from candlewax.clickhouse.client import RETRIES, Database, DatabaseError, connect, open_tables
from candlewax.clickhouse.recompute import CandleRecomputer
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import Batch
from candlewax.runtime.counters import Counters
from candlewax.runtime.setting_parsers import Server
from tests.clickhouse.test_writer import batch, count
from tests.support import command_inside
from tests.support.clickhouse_process import Serving, serving
from tests.support.databases import Databases
from tests.support.faulty_clickhouse import CLOSED, HALF, LOST, RESET, Fault, Faulty, faulty

pytestmark = pytest.mark.slow("a server as a process", seconds=10)

USER, PASSWORD = "can dle", "p@ss:/w%2F?#é&"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with a password."""
    with serving(tmp_path_factory.mktemp("server"), USER, PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def databases(front: Serving) -> Iterator[Databases]:
    """Empty databases of the server."""
    place = Server(front.dsn)
    with closing(open_tables(place, "kept_open")) as engine:
        yield Databases(engine, place)


@pytest.fixture
def served(databases: Databases) -> Iterator[Database]:
    """A fresh database of the server."""
    with databases.one() as opened:
        yield opened


@pytest.fixture
def between(front: Serving) -> Iterator[Faulty]:
    """What stands before the server and fails as it is told."""
    with faulty(front.port) as server:
        yield server


@pytest.fixture
def shaky(front: Serving, between: Faulty, databases: Databases) -> Iterator[Database]:
    """A fresh database of the server, seen through what fails."""
    dsn = front.dsn.replace(f":{front.port}", f":{between.server_port}")
    with databases.one(Server(dsn)) as opened:
        yield opened


def numbered(day: int) -> Batch:
    """A frame and its trade, numbered by its day."""
    made = batch(day)
    number = pl.lit(day + 1, pl.UInt64)
    made.tables["silver_trades"] = made.tables["silver_trades"].with_columns(sequence=number)
    return made


def test_open_tables_makes_what_is_absent(front: Serving) -> None:
    """And again, it changes nothing."""
    name = "made"
    for _ in range(2):
        opened = open_tables(Server(front.dsn), name)
        tables = {table for (table,) in opened.query("SHOW TABLES").rows()}
        opened.close()
    assert {"bronze_frames", "silver_trades", "dead_letters", "ohlcv", "watermarks"} <= tables
    assert {"ohlcv_1m", "ohlcv_1d_filled", "ohlcv_check_mv", "bronze_trades_kraken"} <= tables


def test_same_token_inserts_once(served: Database) -> None:
    """Another token inserts the same rows again."""
    served.client.command("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a "
                          "SETTINGS non_replicated_deduplication_window = 10")  # fmt: skip
    rows = pa.table({"a": range(1000), "b": ["ä\n\0"] * 1000})
    for token, expected in (("one", 1000), ("one", 1000), ("two", 2000)):
        served.insert("t", rows, token)
        assert served.query("SELECT count() FROM t WHERE b = 'ä\\n\\0'").item() == expected


@pytest.mark.parametrize("background", [True, False])
def test_batches_are_stored_and_read_back(served: Database, background: bool) -> None:
    """By the writer, and as a process that begins reads them."""
    store = Writer(served, Counters(), background=background)
    for day in range(20):
        store.put(numbered(day))
    store.flush()
    store.close()
    assert count(served, "bronze_frames") == count(served, "silver_trades") == 20
    history = StateLoader(served)
    watermark = history.load_watermark("x")
    assert watermark > 0
    assert history.load_open_candles("x").watermark == watermark
    stale = history.find_stale_windows("x", watermark)
    candles = list(CandleRecomputer(history).candles("x", stale, watermark))
    assert sum(frame.height for frame in candles) == stale.height > 0
    (ranges,) = history.load_deduplicator("x").ranges_by_series.values()
    assert (ranges.first, ranges.last) == ([1], [20])


def test_two_clients_of_one_database_write_at_once(front: Serving, served: Database) -> None:
    """Each token counts for itself."""
    name = served.query("SELECT currentDatabase()").item()
    others = [connect(Server(front.dsn), name) for _ in range(3)]
    stores = [Writer(other, Counters(), background=True) for other in (served, *others)]
    for day, store in itertools.product(range(20), stores):
        store.put(batch(day))
    for store in stores:
        store.flush()
        store.close()
    for other in others:
        other.close()
    assert served.query("SELECT count() FROM silver_trades FINAL").item() == 20


def test_a_long_query_holds_up_no_insert(served: Database) -> None:
    """It is answered after rows that came later are stored."""
    served.client.command("CREATE TABLE t (a UInt8) ENGINE = Memory")
    seen: list[Any] = []
    wait = "SELECT count() FROM numbers(20) WHERE sleepEachRow(0.14) = 0 SETTINGS max_block_size=20"
    asking = threading.Thread(target=lambda: seen.append(served.query(wait).item()))
    asking.start()
    served.insert("t", pa.table({"a": [1]}), "token")
    assert not seen
    asking.join()
    assert seen == [20]


def test_wrong_password_is_named_but_not_shown(front: Serving) -> None:
    """Neither the wrong one nor the right one."""
    wrong = f"http://can%20dle:se%40cret@127.0.0.1:{front.port}"
    for opening in (open_tables, connect):
        with pytest.raises(DatabaseError) as error:
            opening(Server(wrong), "market")
        text = str(error.value)
        assert text.startswith(front.address)
        assert "refuses the user or the password" in text
        assert not [word for word in ("se@cret", "se%40cret", PASSWORD) if word in text]


def test_encrypted_address_is_never_asked_in_the_clear(front: Serving) -> None:
    """Whatever its port: a password would be read on the way."""
    encrypted = front.dsn.replace("http:", "https:")
    for opening in (open_tables, connect):
        with pytest.raises(DatabaseError, match=f"^https://127.0.0.1:{front.port}: ") as error:
            opening(Server(encrypted), "market")
        assert PASSWORD not in str(error.value)


def test_unreachable_server_is_named() -> None:
    """Without the password."""
    for opening in (open_tables, connect):
        with pytest.raises(DatabaseError, match=r"^http://127\.0\.0\.1:1: .*refused") as error:
            opening(Server("http://me:secret@127.0.0.1:1"), "market")
        assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "fault",
    [
        CLOSED, RESET, LOST, HALF, 500, 502, 503, 504, 429,
        (500, 202), (500, 241), (500, 243), (500, 252), (500, 319), (503, 209), (200, 394),
    ],
    ids=str,
)  # fmt: skip
def test_insert_is_retried_after_a_transient_fault_and_stored_once(
    between: Faulty, shaky: Database, fault: Fault
) -> None:
    """Whatever went wrong and wherever, each row is stored once."""
    between.faults += [fault] * 3 + [LOST, fault]
    waits: list[float] = []
    store = Writer(shaky, Counters(), background=False, wait=waits.append)
    store.put(batch())
    store.flush()
    assert between.faults == []
    assert len(waits) == 5
    assert waits[:3] == list(RETRIES[:3])
    assert count(shaky, "bronze_frames") == count(shaky, "silver_trades") == 1


@pytest.mark.parametrize("fault", [404, 400, (404, 60), (500, 49), (403, 516)], ids=str)
def test_permanent_fault_is_raised_at_once(between: Faulty, shaky: Database, fault: Fault) -> None:
    """No waiting for a table that is not there."""
    between.faults.append(fault)
    waits: list[float] = []
    store = Writer(shaky, Counters(), background=False, wait=waits.append)
    store.put(batch())
    with pytest.raises(ServerError):
        store.flush()
    assert waits == []


def test_retries_last_ten_minutes() -> None:
    """In pauses of five seconds at most."""
    assert sum(RETRIES) == pytest.approx(600, abs=10)
    assert max(RETRIES) == 5
    assert list(RETRIES) == sorted(RETRIES)


def of(front: Serving, database: str) -> dict[str, str]:
    """The settings of a process that uses the server."""
    return {"CANDLEWAX_CLICKHOUSE": front.dsn, "CANDLEWAX_DATABASE": database}


def test_commands_work_on_a_server(front: Serving) -> None:
    """It makes a database, asks it, and has nothing to compare."""
    settings = of(front, "of_a_command")
    made = command_inside.command("init", **settings)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(f"{front.address}: database ")
    asked = command_inside.command("sql", "SELECT 1, 'ü'", "--format", "TabSeparated", **settings)
    assert asked.stdout == "1\tü\n"
    nothing = command_inside.command("verify", **settings)
    place = f"{front.address}, database of_a_command"
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert nothing.stderr == f"candlewax: nothing to verify in {place}\n"
    wrong = command_inside.command("sql", "SELECT nonsense", **settings)
    assert wrong.returncode == 1
    assert "UNKNOWN_IDENTIFIER" in wrong.stderr


def test_commands_name_a_server_that_is_away() -> None:
    """One line, without the password, and at once."""
    settings = {"CANDLEWAX_CLICKHOUSE": "http://me:secret@127.0.0.1:1"}
    for arguments, status in ((("init",), 1), (("sql", "SELECT 1"), 1), (("verify",), 2)):
        done = command_inside.command(*arguments, **settings)
        assert (done.returncode, done.stdout) == (status, "")
        assert done.stderr.startswith("candlewax: http://127.0.0.1:1: ")
        assert done.stderr.count("\n") == 1
        assert "secret" not in done.stderr


def test_missing_database_is_named_and_not_created(front: Serving) -> None:
    """Asking does not create it."""
    for arguments, status in ((("sql", "SELECT 1"), 1), (("verify",), 2)):
        done = command_inside.command(*arguments, **of(front, "nowhere"))
        assert (done.returncode, done.stdout) == (status, "")
        assert "does not exist" in done.stderr
