"""Statements that SQL over HTTP accepts and refuses."""

from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from candlewax.clickhouse.client import Database
from candlewax.web.sql import endpoint
from tests.support.sql_client import code, post
from tests.support.web_server import Client


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that no query may read."""
    path = tmp_path / "secret.csv"
    path.write_text("hush,1\n")
    return path


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
def test_statement_that_only_reads_is_accepted(client: Client, query: str) -> None:
    """Also with words of refused statements in strings and comments."""
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
def test_statement_that_writes_or_sets_is_refused(
    client: Client, shared_tables: Database, query: str, method: str
) -> None:
    """By GET and by POST, and the tables stay as they are."""
    before = shared_tables.query(
        "SELECT name, total_rows FROM system.tables WHERE database = 'of_sql'"
    )
    by_get = method == "GET"
    answer = client.ask("/", {"query": query}) if by_get else post(client, query)
    assert code(answer) in {"164", "62"}
    after = shared_tables.query(
        "SELECT name, total_rows FROM system.tables WHERE database = 'of_sql'"
    )
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
def test_statement_cannot_read_a_file(client: Client, secret: Path, query: str) -> None:
    """By any function, in any spelling; not even the names of its columns."""
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
def test_statement_cannot_write_a_file(client: Client, tmp_path: Path, query: str) -> None:
    """Nor can EXPLAIN, SHOW or DESCRIBE."""
    answer = post(client, query.format(path=tmp_path / "out"))
    assert code(answer) == "164"
    assert not list(tmp_path.iterdir())


class Recording(BaseHTTPRequestHandler):
    """A server in the network that records the paths of its requests."""

    paths: list[str] = []  # noqa: RUF012 - shared by all requests

    def do_GET(self) -> None:
        self.paths.append(self.path)
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
def test_statement_cannot_reach_the_network(client: Client, query: str) -> None:
    """The server gets no request before or after the refusal."""
    with HTTPServer(("127.0.0.1", 0), Recording) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        host = f"127.0.0.1:{server.server_port}"
        answer = post(client, query.format(at=f"http://{host}", host=host))
        server.shutdown()
        thread.join()
    assert code(answer) == "164"
    assert Recording.paths == []


def test_settings_are_limited_or_ignored(client: Client) -> None:
    """A lower value is kept, a higher one becomes the limit, and unknown settings are ignored."""
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
def test_answer_of_too_many_rows_or_bytes_is_refused(
    client: Client, query: str, number: str
) -> None:
    assert code(post(client, query)) == number


def test_query_ends_at_its_time_limit(client: Client) -> None:
    """A client can lower the limit."""
    answer = post(client, "SELECT count() FROM numbers(1000000000000)", max_execution_time="1")
    assert code(answer) == "159"


def test_queries_beyond_the_waiting_queue_are_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries within the queue are answered; the others get 503."""
    monkeypatch.setattr(endpoint, "WAITING", 2)
    slow = "SELECT count() FROM numbers(20) WHERE sleepEachRow(0.1) = 0"
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: post(client, slow), range(6)))
    statuses = sorted(answer.status for answer in answers)
    assert set(statuses) == {200, 503}
