"""The server that tests use is itself like ClickHouse where clients look."""

import json
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlencode

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.support.clickhouse_process import Serving, serving

pytestmark = pytest.mark.slow("a server as a process", seconds=5)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("front"), "me", "it's:me") as server:
        yield server


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def client(front: Serving, **options: str | bool) -> Client:
    return clickhouse_connect.get_client(dsn=front.dsn, **options)  # type: ignore[arg-type]


@pytest.fixture
def connection(front: Serving) -> Iterator[HTTPConnection]:
    """A connection of a client that writes its requests itself."""
    opened = HTTPConnection("127.0.0.1", front.port, timeout=60)
    yield opened
    opened.close()


def ask(
    connection: HTTPConnection, body: bytes = b"", method: str = "POST", **parameters: str
) -> tuple[HTTPResponse, bytes]:
    headers = {"Authorization": "Basic " + b64encode(b"me:it's:me").decode()}
    connection.request(method, "/?" + urlencode(parameters), body, headers)
    answer = connection.getresponse()
    return answer, answer.read()


@pytest.mark.parametrize("compress", ["zstd", "gzip", False])
def test_rows_come_and_go_compressed(front: Serving, compress: str | bool) -> None:
    """In each way a client has, what it inserts it reads again."""
    with client(front, compress=compress) as own:
        own.command("CREATE OR REPLACE TABLE t (a UInt64, b String) ENGINE = Memory")
        rows = [[n, "é\n" * n] for n in range(2000)]
        done = own.insert("t", rows, column_names=["a", "b"])
        assert done.written_rows == 2000
        found = own.query("SELECT * FROM t ORDER BY a").result_rows
        assert [list(row) for row in found] == rows


def test_rows_follow_their_insert_in_any_format(connection: HTTPConnection) -> None:
    """In the body alone, or behind a query in the address."""
    ask(connection, b"CREATE TABLE f (a UInt8, settings String) ENGINE = Memory")
    ask(connection, b"INSERT INTO f (a, settings) FORMAT CSV\n1,x\n")
    ask(connection, b'{"a":2,"settings":"y"}', query="INSERT INTO f FORMAT JSONEachRow")
    ask(connection, b"(3,'FORMAT CSV')", query="INSERT INTO f VALUES")
    ask(connection, b"INSERT INTO f SETTINGS async_insert = 0 FORMAT TSV\n4\tz")
    answer, _ = ask(connection, b"INSERT INTO f SELECT 5, 's'")
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "1"
    _, rows = ask(connection, b"SELECT * FROM f ORDER BY a", default_format="CSV")
    assert rows == b'1,"x"\n2,"y"\n3,"FORMAT CSV"\n4,"z"\n5,"s"\n'


def test_parameters_and_settings_are_of_one_request(connection: HTTPConnection) -> None:
    """They do not stay."""
    setting = b"SELECT getSetting('max_block_size')"
    _, usual = ask(connection, setting)
    assert ask(connection, setting, max_block_size="77")[1] == b"77\n"
    assert ask(connection, setting)[1] == usual
    assert ask(connection, b"SELECT {a:Int8} + 1", param_a="4")[1] == b"5\n"
    assert ask(connection, b"SELECT {a:Int8}")[0].status == 400


@pytest.mark.parametrize(
    ("parameters", "status", "code", "name"),
    [
        ({"query": "SELEC 1"}, 400, 62, "SYNTAX_ERROR"),
        ({"query": "SELECT * FROM nothing"}, 404, 60, "UNKNOWN_TABLE"),
        ({"query": "SELECT 1", "database": "no"}, 404, 81, "UNKNOWN_DATABASE"),
        ({"query": "SELECT 1", "colour": "red"}, 404, 115, "UNKNOWN_SETTING"),
        ({"query": "SELECT throwIf(1)"}, 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    ],
)
def test_errors_have_their_numbers(
    connection: HTTPConnection, parameters: dict[str, str], status: int, code: int, name: str
) -> None:
    """In the status, in a header and in the text."""
    answer, text = ask(connection, b"", **parameters)
    assert answer.status == status
    assert answer.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert text.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert f"({name})".encode() in text


def test_get_only_reads(connection: HTTPConnection) -> None:
    """And a ping needs no password."""
    _, one = ask(connection, method="GET", query="SELECT 1")
    assert one == b"1\n"
    answer, _ = ask(connection, method="GET", query="CREATE DATABASE no")
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    connection.request("GET", "/ping")
    assert connection.getresponse().read() == b"Ok.\n"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-ClickHouse-User": "me", "X-ClickHouse-Key": "it's:me"}, 200),
        ({"X-ClickHouse-User": "me", "X-ClickHouse-Key": "it"}, 403),
        ({"Authorization": "Basic " + b64encode(b"you:it's:me").decode()}, 403),
        ({}, 403),
    ],
)
def test_only_who_has_the_password_is_let_in(
    connection: HTTPConnection, headers: dict[str, str], status: int
) -> None:
    """By either kind of header."""
    connection.request("POST", "/", b"SELECT 1", headers)
    answer = connection.getresponse()
    assert answer.status == status
    assert (answer.headers["X-ClickHouse-Exception-Code"] == "516") == (status == 403)
    answer.read()


def test_large_parameters_come_as_a_form(front: Serving) -> None:
    """A client sends them so when an address would grow too long."""
    names = [f"it's {n}" for n in range(5000)]
    with client(front) as own:
        found = own.query("SELECT {names:Array(String)}", parameters={"names": names})
        assert found.result_rows == [(names,)]


def test_a_session_takes_one_query_at_a_time(front: Serving) -> None:
    """The second is refused while the first is answered."""
    long = "SELECT count() FROM numbers(30) WHERE sleepEachRow(0.1) = 0"
    running = (
        "SELECT count() FROM system.processes WHERE startsWith(query, 'SELECT count() FROM n')"
    )
    with (
        client(front, session_id="s") as first,
        client(front, session_id="s") as second,
        client(front) as third,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(first.command, long)
        while not third.command(running):
            assert not answer.done()
        with pytest.raises(DatabaseError) as error:
            second.command("SELECT 1")
        assert error.value.code == 373
        assert answer.result() == 30
        assert second.command("SELECT 1") == 1
