"""Limits of queries over HTTP: time, memory and size."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Route

from candlewax.clickhouse.client import Database
from candlewax.web.server import Server
from candlewax.web.sql import bounds, endpoint
from candlewax.web.sql.bounds import AT_ONCE, BOUNDS, RESERVE, choose_settings
from candlewax.web.sql.endpoint import Sql
from candlewax.web.sql.http_protocol import Answer as Result
from candlewax.web.sql.http_protocol import Request, RequestError
from candlewax.web.stream.poller import StoredFeedStatus
from candlewax.web.stream.subscribers import Subscribers
from tests.support.web_server import Answer, Client, filled_tables

MIB = 1 << 20


@pytest.fixture(scope="module")
def shared_tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    """A few candles, which no test changes."""
    with filled_tables(engine, engine_path, "bounded", 5) as tables:
        yield tables


def post(client: Client, query: str, **parameters: str) -> Answer:
    return client.ask("/", parameters, method="POST", body=query.encode())


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.headers["x-clickhouse-exception-code"]


def chain(first: str, repeated: str, last: str, count: int) -> str:
    """A query of `count` names, each of which uses the one before it more than once."""
    parts = [first.format(name="n0")]
    parts += [repeated.format(name=f"n{i}", before=f"n{i - 1}") for i in range(1, count)]
    return f"WITH {', '.join(parts)} {last.format(name=f'n{count - 1}')}"


TABLE = "{name} AS (SELECT number AS v FROM numbers(3))"
DOUBLING = {
    "expressions": ("7 AS {name}", "({before} * {before}) AS {name}", "SELECT {name}"),
    "columns": (
        "number AS {name}",
        "greatest({before}, {before}, 2) AS {name}",
        "SELECT {name} FROM numbers(5)",
    ),
    "scalar queries": (
        "(SELECT 5) AS {name}",
        "(SELECT {before}) - (SELECT {before}) AS {name}",
        "SELECT {name}",
    ),
    "unions": (
        TABLE,
        "{name} AS (SELECT v FROM {before} UNION ALL SELECT v + 1 FROM {before})",
        "SELECT sum(v) FROM {name}",
    ),
    "joins": (
        "{name} AS (SELECT number AS v FROM numbers(1))",
        "{name} AS (SELECT a.v AS v FROM {before} AS a, {before} AS b)",
        "SELECT sum(v) FROM {name}",
    ),
    "sets": (
        TABLE,
        "{name} AS (SELECT number AS v FROM numbers(4) WHERE number IN (SELECT v FROM {before}) "
        "AND number NOT IN (SELECT v + 3 FROM {before}))",
        "SELECT count() FROM {name}",
    ),
}


@pytest.mark.parametrize("before", ["", "EXPLAIN "])
@pytest.mark.parametrize("kind", DOUBLING)
def test_query_whose_size_doubles_with_each_name_is_refused(
    client: Client, kind: str, before: str
) -> None:
    """By the size of its syntax tree, long before its time limit."""
    query = chain(*DOUBLING[kind], 18)
    assert len(query) < 2500
    answer = post(client, before + query)
    assert code(answer) == (400, "36")
    assert b"too big" in answer.body


@pytest.mark.parametrize("count", [3, 6])
@pytest.mark.parametrize("kind", DOUBLING)
def test_query_with_a_few_repeated_names_is_answered(client: Client, kind: str, count: int) -> None:
    assert post(client, chain(*DOUBLING[kind], count)).status == 200


def test_list_of_thousands_of_values_is_answered(client: Client) -> None:
    """Programs write such lists."""
    values = ", ".join(map(str, range(5000)))
    assert post(client, f"SELECT count() FROM ohlcv WHERE trade_count IN ({values})").body == b"6\n"


def test_query_longer_than_the_limit_is_refused(client: Client) -> None:
    """With the error of the parser, for one byte too many."""
    limit = BOUNDS["max_query_size"]
    assert post(client, "SELECT 1" + " " * (limit - 8)).body == b"1\n"
    assert code(post(client, "SELECT 1" + " " * (limit - 7))) == (400, "62")


@pytest.mark.parametrize("name", ["max_expanded_ast_elements", "max_memory_usage"])
def test_setting_above_its_limit_becomes_the_limit(client: Client, name: str) -> None:
    """Texts that are no number become the limit too; a lower value is kept."""
    query = f"SELECT getSetting('{name}')"
    limit = BOUNDS[name]
    for text in (str(limit + 1), "0", "-1", "9" * 30, "٣", "x"):
        assert post(client, query, **{name: text}).body == f"{limit}\n".encode()
    assert post(client, query, **{name: str(limit - 1)}).body == f"{limit - 1}\n".encode()


class Stuck:
    """A reader whose queries run until the test sets `go`."""

    zone, version, name = "UTC", "0", "test"

    def __init__(self) -> None:
        self.go = threading.Event()

    def run(self, _: Request) -> Result:
        self.go.wait()
        return Result(b"1\n", None, {})


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stuck, Client]]:
    monkeypatch.setattr(endpoint, "GRACE_S", 0.01)
    monkeypatch.setattr(endpoint, "TURN_S", 0.01)
    reader = Stuck()
    answer = Sql(reader).answer  # type: ignore[arg-type]  # it has the methods of a reader
    app = Starlette(routes=[Route("/", answer, methods=["POST"])])
    server = Server(app, Subscribers(StoredFeedStatus()), "127.0.0.1", 0)
    server.start()
    yield reader, Client(server.port)
    reader.go.set()
    server.stop()


def test_query_that_does_not_end_is_answered_after_its_time_limit(
    stuck: tuple[Stuck, Client],
) -> None:
    """It keeps its slot until it ends; other queries are refused until then."""
    reader, client = stuck
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda _: post(client, "q", max_execution_time="1"), range(AT_ONCE))
        assert [code(answer) for answer in answers] == [(408, "159")] * AT_ONCE
    assert code(post(client, "q")) == (503, "202")
    reader.go.set()
    while (answer := post(client, "q")).status == 503:
        pass
    assert answer.body == b"1\n"


def test_closing_the_reader_cancels_its_running_queries(
    shared_tables: Database, engine_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for their time limit."""
    monkeypatch.setattr(endpoint, "END_S", 60.0)
    reader = endpoint.Reader(engine_path, "bounded")
    running_count = "SELECT count() FROM system.processes WHERE Settings['readonly'] = '1'"
    with ThreadPoolExecutor(1) as pool:
        request = Request({}, b"SELECT count() FROM numbers(1000000000000)", reads_only=True)
        running = pool.submit(reader.run, request)
        while not shared_tables.query(running_count).item():
            pass
        reader.close()
        with pytest.raises(Exception, match="QUERY_WAS_CANCELLED"):
            running.result()


def peak_bytes() -> int:
    """Return the peak memory of this process since the last call."""
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return int(peak.split()[1]) << 10


GREEDY = [
    "SELECT length(groupArray(number)) FROM numbers(200000000)",
    "SELECT uniqExact(toString(number)) FROM numbers(100000000)",
    "SELECT number, count() FROM numbers(100000000) GROUP BY number",
    "SELECT length(range(100000000))",
    "SELECT repeat('k', 1000) FROM numbers(900000)",
    "SELECT * FROM numbers(5000000) AS a JOIN numbers(50000000) AS b USING number",
]


@pytest.mark.parametrize("query", GREEDY)
def test_query_that_needs_more_memory_than_is_left_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """Without using it: the peak stays below what is left. A small query is answered."""
    left = RESERVE + 96 * MIB
    monkeypatch.setattr(bounds, "measure_available", lambda: left)
    assert post(client, "SELECT 1").body == b"1\n"
    peak_bytes()
    before = peak_bytes()
    assert code(post(client, query)) in {(400, "241"), (400, "396")}
    assert peak_bytes() - before < 96 * MIB


def test_query_is_refused_while_too_little_memory_is_left(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is answered once memory is free again."""
    with monkeypatch.context() as patched:
        patched.setattr(bounds, "measure_available", lambda: RESERVE + MIB)
        assert code(post(client, "SELECT 1")) == (400, "241")
    assert post(client, "SELECT 1").body == b"1\n"


@pytest.mark.parametrize("name", ["max_execution_time", "max_result_rows", "max_result_bytes"])
def test_client_can_only_lower_a_limit(name: str) -> None:
    """Zero means no limit to ClickHouse and does not count as lower."""
    limit = int(choose_settings({}, 1 << 40)[name])
    chosen = {
        "1": 1, str(limit - 1): limit - 1, str(limit): limit, str(limit + 1): limit, "0": limit,
        "00": limit, "-1": limit, "": limit, "1e1": limit, "1" * 21: limit, "\u0663": limit,
    }  # fmt: skip
    settings = {text: int(choose_settings({name: text}, 1 << 40)[name]) for text in chosen}
    assert settings == chosen


@given(st.integers(0, 1 << 40))
def test_shares_of_all_queries_at_once_fit_into_the_memory_left(left: int) -> None:
    """Together with their buffered answers and the reserve of the pipeline."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bounds, "measure_available", lambda: left)
        try:
            share = bounds.measure_share(Purged())
        except RequestError:
            assert left < RESERVE + 32 * MIB
            return
    settings = choose_settings({}, share)
    memory, result = int(settings["max_memory_usage"]), int(settings["max_result_bytes"])
    assert AT_ONCE * (memory + result) + RESERVE <= left
    assert memory >= 8 * MIB


class Purged:
    """An engine that has no memory to release."""

    def query(self, _: str) -> None:
        pass
