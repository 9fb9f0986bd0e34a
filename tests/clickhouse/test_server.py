"""A ClickHouse server instead of a directory: the same tables, over sockets that may fail."""

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
from tests.support import command_inside
from tests.support.clickhouse_process import PASSWORD, Serving
from tests.support.databases import Databases
from tests.support.faulty_clickhouse import CLOSED, HALF, LOST, RESET, Fault, Faulty, faulty
from tests.support.writer_batches import batch, count

pytestmark = [
    pytest.mark.slow("a server as a process", seconds=10),
    pytest.mark.usefixtures("no_proxy"),
]


@pytest.fixture(scope="module")
def databases(server: Serving) -> Iterator[Databases]:
    """Empty databases of the server."""
    place = Server(server.dsn)
    with closing(open_tables(place, "kept_open")) as engine:
        yield Databases(engine, place)


@pytest.fixture
def served(databases: Databases) -> Iterator[Database]:
    """An empty database of the server."""
    with databases.one() as opened:
        yield opened


@pytest.fixture
def proxy(server: Serving) -> Iterator[Faulty]:
    """A proxy before the server, with faults that a test sets."""
    with faulty(server.port) as opened:
        yield opened


@pytest.fixture
def proxied(server: Serving, proxy: Faulty, databases: Databases) -> Iterator[Database]:
    """An empty database of the server, seen through the proxy."""
    dsn = server.dsn.replace(f":{server.port}", f":{proxy.server_port}")
    with databases.one(Server(dsn)) as opened:
        yield opened


def numbered(day: int) -> Batch:
    """A batch of a frame and its trade, numbered by its day."""
    made = batch(day)
    number = pl.lit(day + 1, pl.UInt64)
    made.tables["silver_trades"] = made.tables["silver_trades"].with_columns(sequence=number)
    return made


def test_open_tables_creates_missing_tables_and_views(server: Serving) -> None:
    """Opening them again changes nothing."""
    name = "made"
    for _ in range(2):
        opened = open_tables(Server(server.dsn), name)
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
    """By the writer, and by a process that starts from the tables."""
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


def test_clients_of_one_database_write_at_once(server: Serving, served: Database) -> None:
    """Each client has its own insert tokens."""
    name = served.query("SELECT currentDatabase()").item()
    others = [connect(Server(server.dsn), name) for _ in range(3)]
    stores = [Writer(other, Counters(), background=True) for other in (served, *others)]
    for day, store in itertools.product(range(20), stores):
        store.put(batch(day))
    for store in stores:
        store.flush()
        store.close()
    for other in others:
        other.close()
    assert served.query("SELECT count() FROM silver_trades FINAL").item() == 20


def test_long_query_does_not_delay_an_insert(served: Database) -> None:
    """The insert ends before the query."""
    served.client.command("CREATE TABLE t (a UInt8) ENGINE = Memory")
    answers: list[Any] = []
    query = (
        "SELECT count() FROM numbers(20) WHERE sleepEachRow(0.14) = 0 SETTINGS max_block_size=20"
    )
    asking = threading.Thread(target=lambda: answers.append(served.query(query).item()))
    asking.start()
    served.insert("t", pa.table({"a": [1]}), "token")
    assert not answers
    asking.join()
    assert answers == [20]


def test_wrong_password_is_named_but_not_shown(server: Serving) -> None:
    """Neither the wrong one nor the right one."""
    wrong = f"http://can%20dle:se%40cret@127.0.0.1:{server.port}"
    for opening in (open_tables, connect):
        with pytest.raises(DatabaseError) as error:
            opening(Server(wrong), "market")
        text = str(error.value)
        assert text.startswith(server.address)
        assert "refuses the user or the password" in text
        assert not [word for word in ("se@cret", "se%40cret", PASSWORD) if word in text]


def test_encrypted_address_is_never_asked_in_the_clear(server: Serving) -> None:
    """For any port: the password would be readable in transit."""
    encrypted = server.dsn.replace("http:", "https:")
    for opening in (open_tables, connect):
        with pytest.raises(DatabaseError, match=f"^https://127.0.0.1:{server.port}: ") as error:
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
    proxy: Faulty, proxied: Database, fault: Fault
) -> None:
    """For any fault of the connection or the server."""
    proxy.faults += [fault] * 3 + [LOST, fault]
    waits: list[float] = []
    store = Writer(proxied, Counters(), background=False, wait=waits.append)
    store.put(batch())
    store.flush()
    assert proxy.faults == []
    assert len(waits) == 5
    assert waits[:3] == list(RETRIES[:3])
    assert count(proxied, "bronze_frames") == count(proxied, "silver_trades") == 1


@pytest.mark.parametrize("fault", [404, 400, (404, 60), (500, 49), (403, 516)], ids=str)
def test_permanent_fault_is_raised_at_once(proxy: Faulty, proxied: Database, fault: Fault) -> None:
    """Such as a missing table; it is not retried."""
    proxy.faults.append(fault)
    waits: list[float] = []
    store = Writer(proxied, Counters(), background=False, wait=waits.append)
    store.put(batch())
    with pytest.raises(ServerError):
        store.flush()
    assert waits == []


def test_retries_last_ten_minutes() -> None:
    """With pauses of five seconds at most."""
    assert sum(RETRIES) == pytest.approx(600, abs=10)
    assert max(RETRIES) == 5
    assert list(RETRIES) == sorted(RETRIES)


def settings_of(server: Serving, database: str) -> dict[str, str]:
    """Return the settings of a process that uses the server."""
    return {"CANDLEWAX_CLICKHOUSE": server.dsn, "CANDLEWAX_DATABASE": database}


def test_commands_work_on_a_server(server: Serving) -> None:
    """`init` creates a database, `sql` queries it, `verify` finds nothing to compare."""
    settings = settings_of(server, "of_a_command")
    made = command_inside.command("init", **settings)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith(f"{server.address}: database ")
    queried = command_inside.command("sql", "SELECT 1, 'ü'", "--format", "TabSeparated", **settings)
    assert queried.stdout == "1\tü\n"
    verified = command_inside.command("verify", **settings)
    place = f"{server.address}, database of_a_command"
    assert (verified.returncode, verified.stdout) == (2, "")
    assert verified.stderr == f"candlewax: nothing to verify in {place}\n"
    wrong = command_inside.command("sql", "SELECT nonsense", **settings)
    assert wrong.returncode == 1
    assert "UNKNOWN_IDENTIFIER" in wrong.stderr


def test_commands_name_a_server_that_is_away() -> None:
    """In one line, without the password, and at once."""
    settings = {"CANDLEWAX_CLICKHOUSE": "http://me:secret@127.0.0.1:1"}
    for arguments, status in ((("init",), 1), (("sql", "SELECT 1"), 1), (("verify",), 2)):
        done = command_inside.command(*arguments, **settings)
        assert (done.returncode, done.stdout) == (status, "")
        assert done.stderr.startswith("candlewax: http://127.0.0.1:1: ")
        assert done.stderr.count("\n") == 1
        assert "secret" not in done.stderr


def test_missing_database_is_named_and_not_created(server: Serving) -> None:
    """A query does not create it."""
    for arguments, status in ((("sql", "SELECT 1"), 1), (("verify",), 2)):
        done = command_inside.command(*arguments, **settings_of(server, "nowhere"))
        assert (done.returncode, done.stdout) == (status, "")
        assert "does not exist" in done.stderr
