"""The pulse tells a long query from a silent server."""

import threading
from typing import cast

import polars as pl
import pytest

from candlewax.clickhouse.client import BusyError, Database, UnavailableError
from candlewax.web import database_pulse
from candlewax.web import queries as store
from candlewax.web.database_pulse import Pulse
from candlewax.web.queries import Store

QUICK_S, SILENT_S, LEAST_S = database_pulse.QUICK_S, database_pulse.SILENT_S, database_pulse.LEAST_S


class Pinged:
    """A server that answers so many pings, and no more until the test sets `awake`."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.pings = 0
        self.enough = threading.Event()
        self.awake = threading.Event()

    def ping(self) -> bool:
        self.pings += 1
        if self.pings > self.answers:
            self.awake.wait()
        elif self.pings == self.answers:
            self.enough.set()
        return True


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timeouts that pass at once."""
    for name in ("QUICK_S", "SILENT_S", "LEAST_S"):
        monkeypatch.setattr(database_pulse, name, 0.01)


def test_silent_server_is_reported_within_two_seconds() -> None:
    """Including the time of the answer to the client."""
    assert SILENT_S <= 1.9
    assert QUICK_S + LEAST_S < SILENT_S


def test_long_query_is_waited_for_while_pings_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_pulse, "SILENT_S", 60)
    server = Pinged(5)
    answer = Pulse(server).ask(lambda: server.enough.wait(60))
    assert (answer, server.pings) == (True, 5)


def test_error_of_a_query_is_raised() -> None:
    """Also a timeout of the query itself."""
    for error in (TimeoutError("of the query"), ValueError("of the query")):

        def fail(error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error), match="of the query"):
            Pulse(Pinged(0)).ask(fail)


def test_silent_server_gets_no_query_until_it_answers_a_ping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor a second ping while one is pending, until that one counts as lost."""
    now = 0.0
    monkeypatch.setattr(database_pulse, "SILENT_S", 0.01)
    server = Pinged(0)
    pulse = Pulse(server, clock=lambda: now)
    queries = []

    def hang() -> None:
        queries.append(1)
        server.awake.wait()

    for _ in range(5):
        with pytest.raises(UnavailableError, match="does not answer"):
            pulse.ask(hang)
    assert (len(queries), server.pings) == (1, 1)
    now += database_pulse.KNOWN_S
    with pytest.raises(UnavailableError):
        pulse.ask(hang)
    assert (len(queries), server.pings) == (1, 1)
    # A lost ping is given up after a while.
    now += 2 * database_pulse.KNOWN_S
    with pytest.raises(UnavailableError):
        pulse.ask(hang)
    assert (len(queries), server.pings) == (1, 2)
    server.awake.set()
    now += 2 * database_pulse.KNOWN_S
    monkeypatch.setattr(database_pulse, "LEAST_S", 60)
    assert pulse.ask(lambda: "found") == "found"


def test_failed_ping_counts_as_no_answer() -> None:
    """A ping fails if it raises, or if something other than the server answers."""

    class Failing(Pinged):
        def ping(self) -> bool:
            if self.answers:
                return False
            raise OSError("no route")

    for answers in (0, 1):
        with pytest.raises(UnavailableError):
            Pulse(Failing(answers)).ask(threading.Event().wait)


class Occupied(Pinged):
    """A database whose queries run until the test sets `awake`."""

    is_embedded = False

    def __init__(self, answers: int) -> None:
        super().__init__(answers)
        self.begun = threading.Event()

    def query_once(self, *_: object) -> pl.DataFrame:
        self.begun.set()
        self.awake.wait()
        return pl.DataFrame()


@pytest.mark.parametrize(("answers", "error"), [(10**6, BusyError), (0, UnavailableError)])
def test_request_without_a_free_connection_fails_with_the_cause(
    monkeypatch: pytest.MonkeyPatch, answers: int, error: type[Exception]
) -> None:
    """The database is busy with other queries, or it is silent."""
    monkeypatch.setattr(store, "TURN_S", 0.01)
    databases = [Occupied(answers) for _ in range(3)]
    free = iter(databases)
    store_ = Store(lambda: cast(Database, next(free)))
    # The queries that occupy the connections are not given up.
    monkeypatch.setattr(store_, "_pulse", None)
    threads = [threading.Thread(target=store_.ask, args=("",)) for _ in databases]
    for thread, database in zip(threads, reversed(databases), strict=True):
        thread.start()
        database.begun.wait()
    monkeypatch.setattr(database_pulse, "SILENT_S", 60 if answers else 0.01)
    monkeypatch.setattr(store_, "_pulse", Pulse(databases[0]))
    with pytest.raises(UnavailableError) as refused:
        store_.ask("")
    assert type(refused.value) is error
    for database in databases:
        database.awake.set()
    for thread in threads:
        thread.join()
