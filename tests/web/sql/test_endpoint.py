"""SQL over HTTP: what clients of ClickHouse read by it, and that nobody writes."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import clickhouse_connect
import polars as pl
import pytest
from clickhouse_connect.driver.client import Client as Connect
from clickhouse_connect.driver.exceptions import DatabaseError

from candlewax.clickhouse.client import Database, open_tables
from candlewax.web.sql import endpoint
from tests.support.web_server import Answer, Client, candle, serving, store_candles

COUNT = 12


@pytest.fixture(scope="module")
def tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    """Tables with a few candles, which nothing may change."""
    opened = open_tables(engine_path, "of_sql")
    store_candles(opened, COUNT)
    yield opened
    opened.close()
    engine.client.command("DROP DATABASE of_sql SYNC")


@pytest.fixture(scope="module")
def client(tables: Database, engine_path: Path) -> Iterator[Client]:
    with serving(tables, engine_path) as served:
        yield served.client


@pytest.fixture
def connect(client: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """ClickHouse's own client for Python."""
    monkeypatch.setenv("no_proxy", "*")
    with clickhouse_connect.get_client(host="127.0.0.1", port=client.port) as opened:
        yield opened


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that no query may show."""
    path = tmp_path / "secret.csv"
    path.write_text("hush,1\n")
    return path


def post(client: Client, query: str, **parameters: str) -> Answer:
    return client.ask("/", parameters, method="POST", body=query.encode())


def code(answer: Answer) -> str:
    assert answer.status >= 400
    return answer.headers["x-clickhouse-exception-code"]


def test_clickhouse_connect_reads(connect: Connect) -> None:
    """Rows with exact amounts, Arrow for Polars, parameters."""
    question = "SELECT close FROM ohlcv_1m WHERE trade_count <= {n:UInt64} ORDER BY window_start"
    rows = connect.query(question, parameters={"n": 3}).result_rows
    assert rows == [(candle(number)["close"],) for number in range(3)]
    frame = pl.DataFrame(connect.query_arrow("SELECT volume FROM ohlcv_1m ORDER BY window_start"))
    assert frame["volume"].to_list() == [candle(number)["volume"] for number in range(COUNT)]
    assert connect.command("SELECT count() FROM ohlcv_1m") == COUNT


def test_large_parameters_come_as_a_form(connect: Connect) -> None:
    """A client sends them so when an address would grow too long."""
    names = [f"it's {n}\n" for n in range(3000)]
    rows = connect.query("SELECT {names:Array(String)}", parameters={"names": names}).result_rows
    assert rows == [(names,)]


def test_clickhouse_connect_cannot_write(connect: Connect, tables: Database) -> None:
    """Neither by a statement nor by an insert."""
    with pytest.raises(DatabaseError):
        connect.command("DROP TABLE ohlcv")
    with pytest.raises(DatabaseError):
        connect.insert("watermarks", [["x"]], column_names=["exchange"])
    assert tables.query("SELECT count() FROM ohlcv FINAL").item() == COUNT + 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_query_stands_in_the_address_or_in_the_body(client: Client, method: str) -> None:
    """In the format it names, or that the client prefers."""
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
    "query",
    [
        "SELECT 'a;b', 'INTO OUTFILE', 'file(1)', `x y` FROM (SELECT 1 AS `x y`) -- ; DROP",
        "/* first */ (SELECT 1)",
        "WITH 2 AS two SELECT two",
        "SELECT $$it's$$",
        "SELECT 'it''s', 'it\\'s', '\\\\', '\t'",
        "SHOW TABLES",
        "DESCRIBE TABLE ohlcv",
        "EXPLAIN SELECT * FROM ohlcv",
        "EXISTS TABLE ohlcv",
        "SELECT count() FROM system.parts;",
        "SELECT url FROM (SELECT 'x' AS url)",
    ],
)
def test_what_only_reads_is_let_through(client: Client, query: str) -> None:
    """Whatever its strings and comments look like."""
    assert post(client, query).status == 200


WRITES = [
    "INSERT INTO ohlcv (version) VALUES (1)",
    "INSERT INTO ohlcv (version) SELECT 1",
    "WITH 1 AS x INSERT INTO ohlcv (version) SELECT x",
    "ALTER TABLE ohlcv DELETE WHERE 1",
    "ALTER TABLE ohlcv UPDATE version = 1 WHERE 1",
    "CREATE TABLE t (a UInt8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE t (a UInt8)",
    "CREATE OR REPLACE VIEW v AS SELECT 1",
    "CREATE FUNCTION f AS x -> x",
    "CREATE USER u",
    "GRANT ALL ON *.* TO default",
    "DROP TABLE ohlcv",
    "DROP DATABASE of_sql",
    "TRUNCATE TABLE ohlcv",
    "RENAME TABLE ohlcv TO o",
    "EXCHANGE TABLES ohlcv AND gaps",
    "DETACH TABLE ohlcv",
    "ATTACH TABLE x FROM '/tmp' (a UInt8) ENGINE = File(CSV)",
    "OPTIMIZE TABLE ohlcv FINAL",
    "BACKUP TABLE ohlcv TO File('/tmp/b')",
    "SET readonly = 0",
    "SET max_execution_time = 0",
    "USE system",
    "SYSTEM STOP MERGES",
    "SYSTEM SHUTDOWN",
    "SYSTEM FLUSH LOGS",
    "KILL QUERY WHERE 1",
    "EXECUTE AS default SELECT 1",
    "BEGIN TRANSACTION",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT 1; DROP TABLE ohlcv",
    "SET readonly = 0; DROP TABLE ohlcv",
    "SELECT 1;SELECT 2",
    "",
    " ; ",
]


@pytest.mark.parametrize("query", WRITES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_writes_or_sets_is_refused(
    client: Client, tables: Database, query: str, method: str
) -> None:
    """By POST as by GET, and nothing has changed."""
    before = tables.query("SELECT name, total_rows FROM system.tables WHERE database = 'of_sql'")
    by_get = method == "GET"
    answer = client.ask("/", {"query": query}) if by_get else post(client, query)
    assert code(answer) in {"164", "62"}
    after = tables.query("SELECT name, total_rows FROM system.tables WHERE database = 'of_sql'")
    assert before.sort("name").equals(after.sort("name"))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM file('{path}', 'LineAsString')",
        "SELECT * FROM file('{path}')",
        "SELECT file('{path}')",
        "SELECT FILE('{path}')",
        "SELECT `file`('{path}')",
        "SELECT \"file\"('{path}')",
        "SELECT file/* */('{path}')",
        "SELECT arrayMap(file, ['{path}'])",
        "SELECT * APPLY file FROM (SELECT '{path}' AS x)",
        "SELECT * APPLY(file) FROM (SELECT '{path}' AS x)",
        "WITH x AS (SELECT * FROM file('{path}')) SELECT * FROM x",
        "SELECT * FROM view(SELECT * FROM file('{path}'))",
        "SELECT * FROM eval('SELECT file(''{path}'')')",
        "DESCRIBE TABLE file('{path}')",
        "EXPLAIN SELECT * FROM file('{path}')",
        "SELECT * FROM fileCluster('c', '{path}', 'LineAsString')",
        "SELECT * FROM executable('cat {path}', 'TSV', 'a String')",
        "SELECT * FROM '{path}'",
        "SELECT * FROM `{path}`",
        "SELECT * FROM sqlite('{path}', 't')",
        "SELECT * FROM Python(secret)",
    ],
)
def test_no_file_is_read(client: Client, secret: Path, query: str) -> None:
    """By no function, under no spelling, not even its columns."""
    answer = post(client, query.format(path=secret))
    assert answer.status >= 400
    assert b"hush" not in answer.body


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 INTO OUTFILE '{path}'",
        "SELECT 1 into/**/outfile '{path}' TRUNCATE FORMAT CSV",
        "SELECT 1 UNION ALL SELECT 2 INTO OUTFILE '{path}' FORMAT CSV",
        "SHOW TABLES INTO OUTFILE '{path}'",
        "DESCRIBE TABLE ohlcv INTO OUTFILE '{path}'",
        "EXPLAIN AST SELECT 1 INTO OUTFILE '{path}'",
        "SELECT 1 -- \nINTO OUTFILE '{path}'",
        "SELECT 1 INTO OUTFILE '{path}' COMPRESSION 'gzip'",
        "SELECT 1 INTO OUTFILE '{path}' AND STDOUT",
    ],
)
def test_no_file_is_written(client: Client, tmp_path: Path, query: str) -> None:
    """Also not by what merely explains."""
    answer = post(client, query.format(path=tmp_path / "out"))
    assert code(answer) == "164"
    assert not list(tmp_path.iterdir())


class Counting(BaseHTTPRequestHandler):
    """Somebody in the network, who counts who comes."""

    asked: list[str] = []  # noqa: RUF012 - one for all requests

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(404)

    do_POST = do_HEAD = do_PUT = do_GET  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM url('{at}/x', 'LineAsString')",
        "DESCRIBE TABLE url('{at}/x')",
        "SELECT * FROM s3('{at}/bucket/x', 'CSV', 'a String')",
        "DESCRIBE TABLE s3('{at}/bucket/x', 'CSV')",
        "SELECT * FROM gcs('{at}/bucket/x', 'CSV')",
        "SELECT * FROM iceberg('{at}/bucket/x')",
        "SELECT * FROM deltaLake('{at}/bucket/x')",
        "SELECT * FROM hudi('{at}/bucket/x')",
        "SELECT * FROM azureBlobStorage('{at}', 'c', 'b')",
        "SELECT * FROM remote('{host}', 'system.one')",
        "SELECT * FROM cluster('default', system.one)",
        "SELECT * FROM clusterAllReplicas('default', system.one)",
        "SELECT * FROM mysql('{host}', 'a', 'b', 'c', 'd')",
        "SELECT * FROM postgresql('{host}', 'a', 'b', 'c', 'd')",
        "SELECT * FROM mongodb('{host}', 'a', 'b', 'c', 'd', 'x Int8')",
        "SELECT * FROM redis('{host}', 'k', 'k String')",
        "SELECT * FROM jdbc('{at}', 's', 't')",
        "SELECT * FROM odbc('DSN=x', 's', 't')",
    ],
)
def test_nobody_in_the_network_is_asked(client: Client, query: str) -> None:
    """Neither before the refusal nor after it."""
    with HTTPServer(("127.0.0.1", 0), Counting) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        host = f"127.0.0.1:{server.server_port}"
        answer = post(client, query.format(at=f"http://{host}", host=host))
        server.shutdown()
        thread.join()
    assert code(answer) == "164"
    assert Counting.asked == []


def test_settings_are_bounded_or_left_out(client: Client) -> None:
    """Less may be asked for, more is not given; what is unknown does no harm."""
    setting = "SELECT getSetting('max_execution_time')"
    assert post(client, setting).body == b"10\n"
    assert post(client, setting, max_execution_time="3").body == b"3\n"
    assert post(client, setting, max_execution_time="99999").body == b"10\n"
    assert post(client, setting, max_execution_time="0").body == b"10\n"
    assert post(client, "SELECT getSetting('readonly')", readonly="0").body == b"1\n"
    assert post(client, "SELECT 1", colour="red", send_logs_level="trace").body == b"1\n"
    quoted = post(client, "SELECT 1 AS a FORMAT JSONEachRow", output_format_json_quote_decimals="1")
    assert quoted.json == {"a": 1}
    wrong = {"session_timezone": "x'; DROP TABLE ohlcv"}
    assert post(client, "SELECT 1", **wrong).status >= 400


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("SELECT number FROM numbers(1000001)", "396"),
        ("SELECT groupArray(number) FROM numbers(1000000000)", "241"),
    ],
)
def test_large_answers_are_refused(client: Client, query: str, number: str) -> None:
    """Too many rows, too much memory."""
    assert code(post(client, query)) == number


def test_long_queries_are_ended(client: Client) -> None:
    """When their time is over, or the little of it that the client gives."""
    answer = post(client, "SELECT count() FROM numbers(1000000000000)", max_execution_time="1")
    assert code(answer) == "159"


def test_too_many_queries_at_a_time_are_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some wait for their turn, the rest is told to come again."""
    monkeypatch.setattr(endpoint, "WAITING", 2)
    slow = "SELECT count() FROM numbers(20) WHERE sleepEachRow(0.1) = 0"
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: post(client, slow), range(6)))
    statuses = sorted(answer.status for answer in answers)
    assert set(statuses) == {200, 503}


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
def test_there_is_one_account(client: Client, headers: dict[str, str], status: int) -> None:
    """It has no password, and there is no other."""
    answer = client.ask("/", method="POST", body=b"SELECT 1", headers=headers)
    assert answer.status == status


def test_formats_that_are_no_bytes_are_unknown(client: Client) -> None:
    """The engine has some for Python alone."""
    for name in ("DataFrame", "ArrowTable", "x; y", "Nonsense"):
        assert post(client, "SELECT 1", default_format=name).status >= 400


def test_decimals_are_exact(connect: Connect) -> None:
    """All twelve digits of the table."""
    low = connect.query("SELECT min(low) FROM ohlcv_1m").result_rows[0][0]
    assert low == Decimal("99.999999999999")


@pytest.mark.parametrize("query", ["SELECT 1 AS one", "SELECT 1 AS one FORMAT CSV",
    "SELECT 1 AS one SETTINGS max_threads = 1 FORMAT CSV",
    "SELECT 1 AS one FORMAT CSV SETTINGS max_threads = 1, extremes = 0",
])  # fmt: skip
def test_header_for_the_format_wins(client: Client, query: str) -> None:
    """Over the parameter and over the query, as in ClickHouse since 26.8."""
    header = {"X-ClickHouse-Format": "JSONCompact"}
    answer = client.ask(
        "/", {"default_format": "TSV"}, method="POST", body=query.encode(), headers=header
    )
    assert answer.status == 200
    assert answer.json["data"] == [[1]]
    assert answer.headers["x-clickhouse-format"] == "JSONCompact"


def test_header_with_a_format_that_does_not_exist_is_an_error(client: Client) -> None:
    """The same as of the parameter."""
    answer = client.ask(
        "/", method="POST", body=b"SELECT 1", headers={"X-ClickHouse-Format": "NoSuchFormat"}
    )
    assert code(answer) == "73"


def test_string_that_looks_like_a_format_is_kept(client: Client) -> None:
    """Only the clause at the end of the statement gives way."""
    query = b"SELECT 'x FORMAT CSV' AS one, ' FORMAT CSV SETTINGS a = 1' AS two"
    header = {"X-ClickHouse-Format": "TSV"}
    answer = client.ask("/", method="POST", body=query, headers=header)
    assert answer.body == b"x FORMAT CSV\t FORMAT CSV SETTINGS a = 1\n"


def test_header_for_the_database_is_taken(client: Client) -> None:
    """If no parameter names one."""
    header = {"X-ClickHouse-Database": "system"}
    query = b"SELECT currentDatabase()"
    assert client.ask("/", method="POST", body=query, headers=header).body == b"system\n"
    given = client.ask("/", {"database": "default"}, method="POST", body=query, headers=header)
    assert given.body == b"default\n"


@pytest.mark.parametrize("parameter", ["compress", "decompress"])
def test_native_compression_is_refused_by_name(client: Client, parameter: str) -> None:
    """With what to use instead; 0 asks for nothing."""
    answer = client.ask("/", {parameter: "1"}, method="POST", body=b"SELECT 1")
    assert code(answer) == "48"
    assert f"{parameter}=1" in answer.body.decode()
    assert "enable_http_compression=1" in answer.body.decode()
    assert client.ask("/", {parameter: "0"}, method="POST", body=b"SELECT 1").body == b"1\n"


@pytest.mark.parametrize("query_id", ["é", "龙", "a\nb", "a\r\nX-Evil: 1", "x" * 201, "\x7f"])
def test_query_id_that_no_header_can_hold_is_refused(client: Client, query_id: str) -> None:
    """Instead of an answer that breaks off, or a header more."""
    answer = client.ask("/", {"query_id": query_id}, method="POST", body=b"SELECT 1")
    assert (answer.status, code(answer)) == (400, "36")
    assert "x-evil" not in {name.lower() for name in answer.headers}


def test_form_that_is_not_utf8_is_refused(client: Client) -> None:
    """With the name of the field."""
    body = b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT \xff\r\n--b--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.ask("/", method="POST", body=body, headers=kind)
    assert (answer.status, code(answer)) == (400, "117")
    assert "query" in answer.body.decode()
