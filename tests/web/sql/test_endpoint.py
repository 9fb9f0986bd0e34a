"""SQL over HTTP: clients of ClickHouse can read, and cannot write."""

import json
from collections.abc import Iterator
from decimal import Decimal

import clickhouse_connect
import polars as pl
import pytest
from clickhouse_connect.driver.client import Client as Connect
from clickhouse_connect.driver.exceptions import DatabaseError

from candlewax.clickhouse.client import Database
from candlewax.web.sql.compression import COMPRESSORS
from candlewax.web.sql.native_blocks import compress, decompress
from tests.support.compression import inflate
from tests.support.sql_client import COUNT, code, post
from tests.support.web_server import Client, candle


@pytest.fixture
def connect(client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """ClickHouse's own client for Python."""
    monkeypatch.setenv("no_proxy", "*")
    with clickhouse_connect.get_client(host="127.0.0.1", port=client.port) as opened:
        yield opened


def test_clickhouse_connect_reads_exact_rows(connect: Connect) -> None:
    """As rows, as Arrow for Polars, and with parameters."""
    query = "SELECT close FROM ohlcv_1m WHERE trade_count <= {n:UInt64} ORDER BY window_start"
    rows = connect.query(query, parameters={"n": 3}).result_rows
    assert rows == [(candle(number)["close"],) for number in range(3)]
    frame = pl.DataFrame(connect.query_arrow("SELECT volume FROM ohlcv_1m ORDER BY window_start"))
    assert frame["volume"].to_list() == [candle(number)["volume"] for number in range(COUNT)]
    assert connect.command("SELECT count() FROM ohlcv_1m") == COUNT


def test_large_parameters_are_read_from_a_form(connect: Connect) -> None:
    """The client sends a form if the address would become too long."""
    names = [f"it's {n}\n" for n in range(3000)]
    rows = connect.query("SELECT {names:Array(String)}", parameters={"names": names}).result_rows
    assert rows == [(names,)]


def test_clickhouse_connect_cannot_write(connect: Connect, shared_tables: Database) -> None:
    """Neither by a statement nor by an insert."""
    with pytest.raises(DatabaseError):
        connect.command("DROP TABLE ohlcv")
    with pytest.raises(DatabaseError):
        connect.insert("watermarks", [["x"]], column_names=["exchange"])
    assert shared_tables.query("SELECT count() FROM ohlcv FINAL").item() == COUNT + 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_query_is_read_from_the_address_or_the_body(client: Client, method: str) -> None:
    """The answer has the format that the query names, or the default of the client."""
    query = "SELECT 1 AS a, 'é' AS b"
    answer = client.ask("/", {"query": f"{query} FORMAT JSONEachRow"}, method=method)
    assert answer.json == {"a": 1, "b": "é"}
    assert answer.headers["x-clickhouse-format"] == "JSONEachRow"
    assert json.loads(answer.headers["x-clickhouse-summary"])["written_rows"] == "0"
    assert client.ask("/", {"query": query, "default_format": "CSV"}).body == '1,"é"\n'.encode()
    assert post(client, query).body == "1\té\n".encode()
    assert post(client, "SELECT {a:Int8} + 1", param_a="4").body == b"5\n"
    assert client.ask("/ping").body == b"Ok.\n"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"X-ClickHouse-User": "default", "X-ClickHouse-Key": ""}, 200),
        ({"X-ClickHouse-User": "admin"}, 403),
        ({"X-ClickHouse-Key": "guess"}, 403),
        ({"Authorization": "Basic !!"}, 403),
    ],
)
def test_only_the_default_user_without_a_password_is_admitted(
    client: Client, headers: dict[str, str], status: int
) -> None:
    answer = client.ask("/", method="POST", body=b"SELECT 1", headers=headers)
    assert answer.status == status


def test_format_for_python_objects_is_refused(client: Client) -> None:
    """The engine has formats that are no bytes; unknown names are refused too."""
    for name in ("DataFrame", "ArrowTable", "x; y", "Nonsense"):
        assert post(client, "SELECT 1", default_format=name).status >= 400


def test_decimal_keeps_its_twelve_digits(connect: Connect) -> None:
    low = connect.query("SELECT min(low) FROM ohlcv_1m").result_rows[0][0]
    assert low == Decimal("99.999999999999")


@pytest.mark.parametrize("query", ["SELECT 1 AS one", "SELECT 1 AS one FORMAT CSV",
    "SELECT 1 AS one SETTINGS max_threads = 1 FORMAT CSV",
    "SELECT 1 AS one FORMAT CSV SETTINGS max_threads = 1, extremes = 0",
])  # fmt: skip
def test_format_header_overrides_the_parameter_and_the_query(client: Client, query: str) -> None:
    """As in ClickHouse since 26.8."""
    header = {"X-ClickHouse-Format": "JSONCompact"}
    answer = client.ask(
        "/", {"default_format": "TSV"}, method="POST", body=query.encode(), headers=header
    )
    assert answer.status == 200
    assert answer.json["data"] == [[1]]
    assert answer.headers["x-clickhouse-format"] == "JSONCompact"


def test_format_header_with_an_unknown_format_is_an_error(client: Client) -> None:
    """The same error as for the parameter."""
    answer = client.ask(
        "/", method="POST", body=b"SELECT 1", headers={"X-ClickHouse-Format": "NoSuchFormat"}
    )
    assert code(answer) == "73"


def test_string_that_looks_like_a_format_is_kept(client: Client) -> None:
    """The header replaces only the clause at the end of the statement."""
    query = b"SELECT 'x FORMAT CSV' AS one, ' FORMAT CSV SETTINGS a = 1' AS two"
    header = {"X-ClickHouse-Format": "TSV"}
    answer = client.ask("/", method="POST", body=query, headers=header)
    assert answer.body == b"x FORMAT CSV\t FORMAT CSV SETTINGS a = 1\n"


def test_database_header_applies_unless_a_parameter_names_one(client: Client) -> None:
    header = {"X-ClickHouse-Database": "system"}
    query = b"SELECT currentDatabase()"
    assert client.ask("/", method="POST", body=query, headers=header).body == b"system\n"
    given = client.ask(
        "/", {"database": "information_schema"}, method="POST", body=query, headers=header
    )
    assert given.body == b"information_schema\n"


def test_default_database_is_that_of_the_tables(client: Client) -> None:
    """Drivers name it if their user named none. Its own tables are reached by their full name."""
    query = b"SELECT count() FROM ohlcv_1m"
    header = {"X-ClickHouse-Database": "default"}
    expected = f"{COUNT}\n".encode()
    assert client.ask("/", method="POST", body=query, headers=header).body == expected
    assert client.ask("/", {"database": "default"}, method="POST", body=query).body == expected


@pytest.mark.parametrize("method", ["", "LZ4", "zstd", "NONE", "unknown"])
def test_native_blocks_are_read_and_written_if_asked_for(client: Client, method: str) -> None:
    """Errors are blocks as well; the method is the client's, LZ4 if it names none."""
    parameters = {"compress": "1", "decompress": "1", "network_compression_method": method}
    first = {"zstd": 0x90, "NONE": 0x02}.get(method, 0x82)
    for query, plain in ((b"SELECT 1", b"1\n"), (b"SELECT 1 WHERE 0", b"")):
        answer = client.ask("/", parameters, method="POST", body=compress(query))
        assert decompress(answer.body, 1000) == plain
        assert answer.body[16:17] == bytes([first])[: len(plain)]
    error = client.ask("/", parameters, method="POST", body=compress(b"SELECT nothing"))
    assert code(error) == "47"
    assert b"nothing" in decompress(error.body, 1000)


def test_native_blocks_that_cannot_be_read_are_an_error(client: Client) -> None:
    """The error names the parameter; 0 asks for no compression."""
    answer = client.ask("/", {"decompress": "1"}, method="POST", body=b"SELECT 1")
    assert code(answer) == "271"
    assert "decompress=1" in answer.body.decode()
    off = {"compress": "0", "decompress": "false"}
    assert client.ask("/", off, method="POST", body=b"SELECT 1").body == b"1\n"


def test_wrong_account_is_refused_in_plain_text(client: Client) -> None:
    """As in ClickHouse, which looks at the account before it compresses."""
    answer = client.ask("/", {"compress": "1", "user": "admin"}, method="POST", body=b"SELECT 1")
    assert answer.status == 403
    assert answer.body.startswith(b"Code: 516.")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_bodies_are_encoded_as_the_client_says(client: Client, encoding: str) -> None:
    """Requests by Content-Encoding, answers by Accept-Encoding if the parameter asks for it."""
    body = COMPRESSORS[encoding](b"SELECT repeat('a', 1000)")
    headers = {"Content-Encoding": encoding, "Accept-Encoding": f"br, gzip;q=0, {encoding}"}
    answer = client.ask("/", method="POST", body=body, headers=headers)
    assert answer.body == b"a" * 1000 + b"\n"
    headers["Accept-Encoding"] = f"br, {encoding}, identity"
    on = {"enable_http_compression": "1"}
    answer = client.ask("/", on, method="POST", body=body, headers=headers)
    assert answer.headers["content-encoding"] == encoding
    assert inflate(answer.body, encoding) == b"a" * 1000 + b"\n"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_encoded_body_that_is_broken_or_becomes_too_long_is_refused(
    client: Client, encoding: str
) -> None:
    """A few bytes may stand for gigabytes; a mebibyte is read."""
    headers = {"Content-Encoding": encoding}
    long = COMPRESSORS[encoding](b"SELECT 1" + b" " * (1 << 21))
    assert code(client.ask("/", method="POST", body=long, headers=headers)) == "62"
    for body in (b"SELECT 1", COMPRESSORS[encoding](b"SELECT 1 AS one, 2 AS two")[:-6]):
        assert code(client.ask("/", method="POST", body=body, headers=headers)) == "117"


def test_unknown_encoding_of_a_body_is_refused_with_the_known_ones(client: Client) -> None:
    headers = {"Content-Encoding": "snappy"}
    answer = client.ask("/", method="POST", body=b"SELECT 1", headers=headers)
    assert code(answer) == "48"
    assert "snappy" in answer.body.decode()
    assert "gzip" in answer.body.decode()


def test_query_id_is_read_from_the_header_too(client: Client) -> None:
    """JDBC sends it so. Each answer names the server as `displayName()` does."""
    headers = {"X-ClickHouse-Query-Id": "mine"}
    answer = client.ask("/", method="POST", body=b"SELECT displayName()", headers=headers)
    assert answer.headers["x-clickhouse-query-id"] == "mine"
    assert answer.headers["x-clickhouse-server-display-name"] == answer.body.decode().strip()
    assert answer.headers["x-clickhouse-timezone"] == "UTC"


@pytest.mark.parametrize("query_id", ["é", "龙", "a\nb", "a\r\nX-Evil: 1", "x" * 201, "\x7f"])
def test_query_id_that_does_not_fit_a_header_is_refused(client: Client, query_id: str) -> None:
    """The answer is complete and has no injected header."""
    answer = client.ask("/", {"query_id": query_id}, method="POST", body=b"SELECT 1")
    assert (answer.status, code(answer)) == (400, "36")
    assert "x-evil" not in {name.lower() for name in answer.headers}


def test_form_that_is_not_utf8_is_refused(client: Client) -> None:
    """The error names the field."""
    body = b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT \xff\r\n--b--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.ask("/", method="POST", body=body, headers=kind)
    assert (answer.status, code(answer)) == (400, "117")
    assert "query" in answer.body.decode()
