"""SQL over HTTP, read-only: what clients of ClickHouse need, over the embedded engine."""

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from candlewax.clickhouse import engine
from candlewax.web.problem import Problem
from candlewax.web.sql import http_protocol, statement_filter
from candlewax.web.sql.bounds import (
    AT_ONCE,
    BOUNDS,
    GRACE_S,
    choose_seconds,
    choose_settings,
    measure_share,
)
from candlewax.web.sql.http_protocol import Answer, Request, RequestError

_log: Final = logging.getLogger(__name__)

WAITING: Final = 16
"""Queries that may wait for their turn."""

END_S: Final = 3.0
"""Seconds for queries to end when the process does."""

TURN_S: Final = 15.0
"""Seconds that they wait at most."""

_SETTING: Final = r"\w+ = (?:[^\s',]+|'[^']*')"
_FORMAT_CLAUSE: Final = re.compile(rf" FORMAT \w+((?: SETTINGS {_SETTING}(?:, {_SETTING})*)?)$")
"""At the end of a statement as ClickHouse itself writes it."""

_OF_PYTHON: Final = frozenset({"arrowtable", "dataframe", "datastore"})
"""Formats of chDB that are objects, not bytes."""


class Reader:
    """Answers queries on the embedded engine of a directory, which is open already."""

    def __init__(self, folder: Path, database: str) -> None:
        self._path = str(folder.resolve())
        self._database = database
        # It lives as long as one of its connections.
        self._kept = engine.connect(self._path)
        zone, self.version = self._kept.query("SELECT timezone(), version()", "TSV").data().split()
        self.zone = str(zone)
        names = self._kept.query(
            "SELECT lower(name) FROM system.table_functions WHERE NOT allow_readonly", "TSVRaw"
        )
        self._reaching_out = statement_filter.REACHING_OUT | set(names.data().split())
        self._running = 0
        self._ended = threading.Condition()

    def run(self, request: Request) -> Answer:
        """Answer a query on a connection of its own: its settings end with it."""
        if request.form.lower() in _OF_PYTHON or not re.fullmatch(r"\w+", request.form):
            raise RequestError(73, f"Unknown format {request.form}", "UNKNOWN_FORMAT")
        with self._counted(), closing(engine.connect(self._path)) as connection:
            database = request.parameters.get("database") or self._database
            connection.query(f"USE {http_protocol.quoted(database, '`')}")
            sql = self._one(connection, request.sql)
            if request.wanted_form:
                # As in ClickHouse since 26.8, the header wins over the query.
                sql = _FORMAT_CLAUSE.sub(r"\1", sql)
            settings = choose_settings(request.settings, measure_share(connection))
            connection.query(f"SET {http_protocol.clause(settings)}")
            # From here on nothing can be set any more, this one included.
            connection.query("SET readonly = 1")
            result = connection.query(sql, request.form, params=request.bound)
            return http_protocol.answer(result, sql.encode(), request.form)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._ended:
            self._running += 1
        try:
            yield
        finally:
            with self._ended:
                self._running -= 1
                self._ended.notify_all()

    def _one(self, connection: Any, sql: bytes) -> str:  # noqa: ANN401 - chDB has no types
        """The statement as ClickHouse itself writes it, if it may be run."""
        try:
            text = sql.decode()
        except UnicodeDecodeError:
            raise RequestError(62, "Syntax error: no UTF-8", "SYNTAX_ERROR") from None
        if len(sql) > BOUNDS["max_query_size"]:
            raise RequestError(
                62, f"Max query size exceeded: {len(sql)} bytes", "QUERY_IS_TOO_LARGE"
            )
        if not text.strip():
            raise RequestError(62, "Syntax error: an empty query", "SYNTAX_ERROR")
        escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
        escaped = escaped.replace("\r", "\\r").replace("\0", "\\0")
        formatted = connection.query(
            "SELECT formatQuerySingleLine({query:String})", "TSVRaw", params={"query": escaped}
        )
        # The last newline is the format's.
        one = str(formatted.data()).removesuffix("\n")
        statement_filter.check_statement(one, self._reaching_out)
        return one

    def close(self) -> None:
        """Let go of the engine, once what still runs in it has ended."""
        with self._ended:
            if self._running:
                # Nothing else is run with this setting.
                self._kept.query("KILL QUERY WHERE Settings['readonly'] = '1' ASYNC")
            if not self._ended.wait_for(lambda: not self._running, END_S):
                _log.warning("a query still runs that the engine does not end; it is left behind")
                engine.mark_still_running()
                return
        self._kept.close()


class Sql:
    """The addresses that clients of ClickHouse use."""

    def __init__(self, reader: Reader | None) -> None:
        self._reader = reader
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def ping(self, _: HttpRequest) -> Response:
        """Whether anybody is there."""
        return Response(b"Ok.\n", media_type="text/plain")

    async def answer(self, http: HttpRequest) -> Response:
        """One query."""
        if self._reader is None:
            text = "the tables are a ClickHouse server's: ask it"
            raise Problem(404, "no_sql_here", text)
        given: Mapping[str, str] = dict(http.query_params)
        try:
            given, answer = await self._answered(self._reader, http, given)
            status, body, said = 200, answer.body, answer.headers
        except Problem:
            raise
        except Exception as error:  # noqa: BLE001 - all of them are the client's to know
            refused = http_protocol.refusal(error, self._reader.version)
            status, body, said = refused.status, refused.body, refused.headers
        told = {**http_protocol.told(self._reader.zone, given), **said, "Cache-Control": "no-store"}
        packed = http_protocol.encoding(
            given, http.headers.get("accept-encoding", ""), http_protocol.PACKED
        )
        if packed:
            body = http_protocol.PACKED[packed](body)
            told["Content-Encoding"] = packed
        return Response(body, status, told, "text/plain")

    async def _answered(
        self, reader: Reader, http: HttpRequest, given: Mapping[str, str]
    ) -> tuple[Mapping[str, str], Answer]:
        if http.headers.get("content-encoding", "identity") != "identity":
            text = "Nothing compressed is taken here: queries are short, and nothing is inserted"
            raise RequestError(164, text, "READONLY")
        body = await http.body()
        given, request = http_protocol.read(given, http.headers, body, reads_only=True)
        user, password = http_protocol.account(http.headers, given)
        if (user or "default", password) != ("default", ""):
            raise http_protocol.not_let_in(user)
        return given, await self._in_turn(partial(reader.run, request), request.settings)

    async def _in_turn(self, run: Callable[[], Answer], settings: Mapping[str, str]) -> Answer:
        """Run a query when it is its turn, and answer when its time is over at the latest.

        What an engine cannot be stopped in, as a function of a long text, runs on and keeps its
        turn; of those that wait then the time runs out, too.
        """
        if self._waiting >= WAITING:
            raise _busy()
        self._waiting += 1
        try:
            await asyncio.wait_for(self._turn.acquire(), TURN_S)
        except TimeoutError:
            raise _busy() from None
        finally:
            self._waiting -= 1
        running = _begin(run)
        running.add_done_callback(self._end)
        seconds = choose_seconds(settings)
        try:
            done, _ = await asyncio.wait({running}, timeout=seconds + GRACE_S)
        except asyncio.CancelledError:
            # The server is ending and has waited a while already.
            raise RequestError(236, "The server is shutting down.", "ABORTED") from None
        if done:
            return running.result()
        _log.warning("a query runs on %g s beyond its time; the engine does not end it", GRACE_S)
        raise RequestError(
            159,
            f"Timeout exceeded: the query was to end within {seconds} seconds and still runs",
            "TIMEOUT_EXCEEDED",
        )

    def _end(self, running: "asyncio.Future[Answer]") -> None:
        self._turn.release()
        # Its client may be gone.
        running.exception()


def _begin(run: Callable[[], Answer]) -> "asyncio.Future[Answer]":
    """Run a query in a thread of its own, for which no end of the process waits."""
    loop = asyncio.get_running_loop()
    running: asyncio.Future[Answer] = loop.create_future()

    def work() -> None:
        try:
            tell: Callable[[], None] = partial(running.set_result, run())
        except Exception as error:  # noqa: BLE001 - all of them are the client's to know
            tell = partial(running.set_exception, error)
        with suppress(RuntimeError):  # the server has ended
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=work, name="sql", daemon=True).start()
    return running


def _busy() -> RequestError:
    return RequestError(202, "Too many simultaneous queries", "TOO_MANY_SIMULTANEOUS_QUERIES")
