"""What a query over HTTP may take: time that ends, memory that is left."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Route

from candlewax.clickhouse.client import Database, open_tables
from candlewax.web.server import Server
from candlewax.web.sql import bounds, endpoint
from candlewax.web.sql.bounds import AT_ONCE, BOUNDS, RESERVE, choose_settings
from candlewax.web.sql.endpoint import Sql
from candlewax.web.sql.http_protocol import Answer as Result
from candlewax.web.sql.http_protocol import Request, RequestError
from candlewax.web.stream.poller import StoredFeedStatus
from candlewax.web.stream.subscribers import Subscribers
from tests.support.web_server import Answer, Client, serving, store_candles

MIB = 1 << 20


@pytest.fixture(scope="module")
def tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    opened = open_tables(engine_path, "bounded")
    store_candles(opened, 5)
    yield opened
    opened.close()
    engine.client.command("DROP DATABASE bounded SYNC")


@pytest.fixture(scope="module")
def client(tables: Database, engine_path: Path) -> Iterator[Client]:
    with serving(tables, engine_path) as served:
        yield served.client


def post(client: Client, query: str, **parameters: str) -> Answer:
    return client.ask("/", parameters, method="POST", body=query.encode())


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.headers["x-clickhouse-exception-code"]


def chain(first: str, step: str, last: str, count: int) -> str:
    """Names of which each says the one before it more than once."""
    parts = [first.format(name="n0")]
    parts += [step.format(name=f"n{i}", before=f"n{i - 1}") for i in range(1, count)]
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
def test_query_that_doubles_with_each_name_is_refused(
    client: Client, kind: str, before: str
) -> None:
    """By the size of its tree, long before its time is over."""
    query = chain(*DOUBLING[kind], 18)
    assert len(query) < 2500
    answer = post(client, before + query)
    assert code(answer) == (400, "36")
    assert b"too big" in answer.body


@pytest.mark.parametrize("count", [3, 6])
@pytest.mark.parametrize("kind", DOUBLING)
def test_query_that_names_a_few_is_answered(client: Client, kind: str, count: int) -> None:
    assert post(client, chain(*DOUBLING[kind], count)).status == 200


def test_long_lists_are_answered(client: Client) -> None:
    """Of thousands of values, as programs write them."""
    values = ", ".join(map(str, range(5000)))
    assert post(client, f"SELECT count() FROM ohlcv WHERE trade_count IN ({values})").body == b"6\n"


def test_query_longer_than_the_bound_is_refused(client: Client) -> None:
    """Before it is parsed."""
    most = BOUNDS["max_query_size"]
    assert post(client, "SELECT 1" + " " * (most - 8)).body == b"1\n"
    assert code(post(client, "SELECT 1" + " " * (most - 7))) == (400, "62")


@pytest.mark.parametrize("name", ["max_expanded_ast_elements", "max_memory_usage"])
def test_bounds_cannot_be_raised(client: Client, name: str) -> None:
    """Only lowered."""
    asked = f"SELECT getSetting('{name}')"
    most = BOUNDS[name]
    for text in (str(most + 1), "0", "-1", "9" * 30, "٣", "x"):
        assert post(client, asked, **{name: text}).body == f"{most}\n".encode()
    assert post(client, asked, **{name: str(most - 1)}).body == f"{most - 1}\n".encode()


class Stuck:
    """A reader whose queries end when a test says so."""

    zone, version = "UTC", "0"

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
    answer = Sql(reader).answer  # type: ignore[arg-type]  # it does what a reader does
    app = Starlette(routes=[Route("/", answer, methods=["POST"])])
    server = Server(app, Subscribers(StoredFeedStatus()), "127.0.0.1", 0)
    server.start()
    yield reader, Client(server.port)
    reader.go.set()
    server.stop()


def test_query_that_the_engine_does_not_end_is_answered(stuck: tuple[Stuck, Client]) -> None:
    """It keeps its turn until it has ended; those that come meanwhile are told so."""
    reader, client = stuck
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda _: post(client, "q", max_execution_time="1"), range(AT_ONCE))
        assert [code(answer) for answer in answers] == [(408, "159")] * AT_ONCE
    assert code(post(client, "q")) == (503, "202")
    reader.go.set()
    while (answer := post(client, "q")).status == 503:
        pass
    assert answer.body == b"1\n"


def test_engine_ends_queries_that_run_when_the_process_ends(
    tables: Database, engine_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for their time to be over."""
    monkeypatch.setattr(endpoint, "END_S", 60.0)
    reader = endpoint.Reader(engine_path, "bounded")
    began = "SELECT count() FROM system.processes WHERE Settings['readonly'] = '1'"
    with ThreadPoolExecutor(1) as pool:
        asked = Request({}, b"SELECT count() FROM numbers(1000000000000)", reads_only=True)
        running = pool.submit(reader.run, asked)
        while not tables.query(began).item():
            pass
        reader.close()
        with pytest.raises(Exception, match="QUERY_WAS_CANCELLED"):
            running.result()


def peak_bytes() -> int:
    """The most memory that this process had since the last time."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return int(found.split()[1]) << 10


GREEDY = [
    "SELECT length(groupArray(number)) FROM numbers(200000000)",
    "SELECT uniqExact(toString(number)) FROM numbers(100000000)",
    "SELECT number, count() FROM numbers(100000000) GROUP BY number",
    "SELECT length(range(100000000))",
    "SELECT repeat('k', 1000) FROM numbers(900000)",
    "SELECT * FROM numbers(5000000) AS a JOIN numbers(50000000) AS b USING number",
]


@pytest.mark.parametrize("query", GREEDY)
def test_query_takes_no_more_memory_than_is_left(
    client: Client, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """Of a container, say; and what needs little is answered."""
    left = RESERVE + 96 * MIB
    monkeypatch.setattr(bounds, "measure_available", lambda: left)
    assert post(client, "SELECT 1").body == b"1\n"
    peak_bytes()
    before = peak_bytes()
    assert code(post(client, query)) in {(400, "241"), (400, "396")}
    assert peak_bytes() - before < 96 * MIB


def test_no_query_is_begun_without_memory(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """And again when there is some."""
    with monkeypatch.context() as patched:
        patched.setattr(bounds, "measure_available", lambda: RESERVE + MIB)
        assert code(post(client, "SELECT 1")) == (400, "241")
    assert post(client, "SELECT 1").body == b"1\n"


@pytest.mark.parametrize("name", ["max_execution_time", "max_result_rows", "max_result_bytes"])
def test_client_may_ask_for_less_than_a_bound_only(name: str) -> None:
    """Zero, which means no bound to ClickHouse, is not less."""
    bound = int(choose_settings({}, 1 << 40)[name])
    asked = {
        "1": 1, str(bound - 1): bound - 1, str(bound): bound, str(bound + 1): bound, "0": bound,
        "00": bound, "-1": bound, "": bound, "1e1": bound, "1" * 21: bound, "\u0663": bound,
    }  # fmt: skip
    given_ = {text: int(choose_settings({name: text}, 1 << 40)[name]) for text in asked}
    assert given_ == asked


@given(st.integers(0, 1 << 40))
def test_queries_at_once_fit_into_what_is_left(left: int) -> None:
    """With their answers on the way out, and what the pipeline needs."""
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
    """An engine that has nothing to give back."""

    def query(self, _: str) -> None:
        pass
