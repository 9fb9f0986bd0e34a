"""A query that runs is told from a server that is silent."""

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
    """A server that answers so many pings, and then none until it is woken."""

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
    """Bounds that are over at once."""
    for name in ("QUICK_S", "SILENT_S", "LEAST_S"):
        monkeypatch.setattr(database_pulse, name, 0.01)


def test_a_silent_server_is_told_within_two_seconds() -> None:
    """With some time for the answer itself."""
    assert SILENT_S <= 1.9
    assert QUICK_S + LEAST_S < SILENT_S


def test_a_query_that_runs_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as pings are answered."""
    monkeypatch.setattr(database_pulse, "SILENT_S", 60)
    server = Pinged(5)
    found = Pulse(server).ask(lambda: server.enough.wait(60))
    assert (found, server.pings) == (True, 5)


def test_what_a_query_raises_is_raised() -> None:
    """Its own timeout, too."""
    for error in (TimeoutError("of the query"), ValueError("of the query")):

        def fail(error: Exception = error) -> None:
            raise error

        with pytest.raises(type(error), match="of the query"):
            Pulse(Pinged(0)).ask(fail)


def test_a_silent_server_gets_no_more_queries_until_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor a second ping while one is under way."""
    now = 0.0
    monkeypatch.setattr(database_pulse, "SILENT_S", 0.01)
    server = Pinged(0)
    watched = Pulse(server, clock=lambda: now)
    queries = []

    def hang() -> None:
        queries.append(1)
        server.awake.wait()

    for _ in range(5):
        with pytest.raises(UnavailableError, match="does not answer"):
            watched.ask(hang)
    assert (len(queries), server.pings) == (1, 1)
    now += database_pulse.KNOWN_S
    with pytest.raises(UnavailableError):
        watched.ask(hang)
    assert (len(queries), server.pings) == (1, 1)
    # A ping that was lost is not waited for, for ever.
    now += 2 * database_pulse.KNOWN_S
    with pytest.raises(UnavailableError):
        watched.ask(hang)
    assert (len(queries), server.pings) == (1, 2)
    server.awake.set()
    now += 2 * database_pulse.KNOWN_S
    monkeypatch.setattr(database_pulse, "LEAST_S", 60)
    assert watched.ask(lambda: "found") == "found"


def test_a_ping_that_fails_is_no_answer() -> None:
    """Whatever it raises, or if something else answers for the server."""

    class Failing(Pinged):
        def ping(self) -> bool:
            if self.answers:
                return False
            raise OSError("no route")

    for answers in (0, 1):
        with pytest.raises(UnavailableError):
            Pulse(Failing(answers)).ask(threading.Event().wait)


class Occupied(Pinged):
    """A database whose queries run until it is woken."""

    is_embedded = False

    def __init__(self, answers: int) -> None:
        super().__init__(answers)
        self.begun = threading.Event()

    def query_once(self, *_: object) -> pl.DataFrame:
        self.begun.set()
        self.awake.wait()
        return pl.DataFrame()


@pytest.mark.parametrize(("answers", "error"), [(10**6, BusyError), (0, UnavailableError)])
def test_requests_that_get_no_turn_are_told_why(
    monkeypatch: pytest.MonkeyPatch, answers: int, error: type[Exception]
) -> None:
    """The database has others to answer, or is silent to all of them."""
    monkeypatch.setattr(store, "TURN_S", 0.01)
    databases = [Occupied(answers) for _ in range(3)]
    free = iter(databases)
    asked = Store(lambda: cast(Database, next(free)))
    # Those that wait are patient, until all turns are taken.
    monkeypatch.setattr(asked, "_pulse", None)
    threads = [threading.Thread(target=asked.ask, args=("",)) for _ in databases]
    for thread, database in zip(threads, reversed(databases), strict=True):
        thread.start()
        database.begun.wait()
    monkeypatch.setattr(database_pulse, "SILENT_S", 60 if answers else 0.01)
    monkeypatch.setattr(asked, "_pulse", Pulse(databases[0]))
    with pytest.raises(UnavailableError) as refused:
        asked.ask("")
    assert type(refused.value) is error
    for database in databases:
        database.awake.set()
    for thread in threads:
        thread.join()
