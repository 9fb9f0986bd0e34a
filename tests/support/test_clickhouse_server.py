"""The server of the tests behaves like ClickHouse for its clients."""

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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("front"), "me", "it's:me") as server:
        yield server


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def client(server: Serving, **options: str | bool) -> Client:
    return clickhouse_connect.get_client(dsn=server.dsn, **options)  # type: ignore[arg-type]


@pytest.fixture
def connection(server: Serving) -> Iterator[HTTPConnection]:
    """A connection of a client that writes its requests itself."""
    opened = HTTPConnection("127.0.0.1", server.port, timeout=60)
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
def test_inserted_rows_are_read_back_with_any_compression(
    server: Serving, compress: str | bool
) -> None:
    """Each that the client offers."""
    with client(server, compress=compress) as client_:
        client_.command("CREATE OR REPLACE TABLE t (a UInt64, b String) ENGINE = Memory")
        rows = [[n, "é\n" * n] for n in range(2000)]
        done = client_.insert("t", rows, column_names=["a", "b"])
        assert done.written_rows == 2000
        read_rows = client_.query("SELECT * FROM t ORDER BY a").result_rows
        assert [list(row) for row in read_rows] == rows


def test_insert_reads_rows_in_any_format(connection: HTTPConnection) -> None:
    """After the statement in the body, or in the body of a query in the address."""
    ask(connection, b"CREATE TABLE f (a UInt8, settings String) ENGINE = Memory")
    ask(connection, b"INSERT INTO f (a, settings) FORMAT CSV\n1,x\n")
    ask(connection, b'{"a":2,"settings":"y"}', query="INSERT INTO f FORMAT JSONEachRow")
    ask(connection, b"(3,'FORMAT CSV')", query="INSERT INTO f VALUES")
    ask(connection, b"INSERT INTO f SETTINGS async_insert = 0 FORMAT TSV\n4\tz")
    answer, _ = ask(connection, b"INSERT INTO f SELECT 5, 's'")
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "1"
    _, rows = ask(connection, b"SELECT * FROM f ORDER BY a", default_format="CSV")
    assert rows == b'1,"x"\n2,"y"\n3,"FORMAT CSV"\n4,"z"\n5,"s"\n'


def test_parameters_and_settings_apply_to_one_request(connection: HTTPConnection) -> None:
    """The next request has the defaults again."""
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
def test_error_has_the_status_and_code_of_clickhouse(
    connection: HTTPConnection, parameters: dict[str, str], status: int, code: int, name: str
) -> None:
    """In a header and in the text."""
    answer, text = ask(connection, b"", **parameters)
    assert answer.status == status
    assert answer.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert text.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert f"({name})".encode() in text


def test_get_request_only_reads(connection: HTTPConnection) -> None:
    """A ping needs no password."""
    _, answer_text = ask(connection, method="GET", query="SELECT 1")
    assert answer_text == b"1\n"
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
def test_wrong_user_or_password_is_refused(
    connection: HTTPConnection, headers: dict[str, str], status: int
) -> None:
    """In either kind of header."""
    connection.request("POST", "/", b"SELECT 1", headers)
    answer = connection.getresponse()
    assert answer.status == status
    assert (answer.headers["X-ClickHouse-Exception-Code"] == "516") == (status == 403)
    answer.read()


def test_large_parameters_are_read_from_a_form(server: Serving) -> None:
    """The client sends a form if the address would become too long."""
    names = [f"it's {n}" for n in range(5000)]
    with client(server) as client_:
        result = client_.query("SELECT {names:Array(String)}", parameters={"names": names})
        assert result.result_rows == [(names,)]


def test_second_query_of_a_session_at_once_is_refused(server: Serving) -> None:
    """With code 373, while the first is running."""
    long = "SELECT count() FROM numbers(30) WHERE sleepEachRow(0.1) = 0"
    running = (
        "SELECT count() FROM system.processes WHERE startsWith(query, 'SELECT count() FROM n')"
    )
    with (
        client(server, session_id="s") as first,
        client(server, session_id="s") as second,
        client(server) as third,
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
