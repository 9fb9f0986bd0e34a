"""Read-only SQL over HTTP on the embedded engine, for clients of ClickHouse."""

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from candlewax.clickhouse import engine
from candlewax.web.problem import Problem
from candlewax.web.request_guard import MOST_BYTES
from candlewax.web.sql import http_protocol, statement_filter
from candlewax.web.sql.bounds import (
    AT_ONCE,
    BOUNDS,
    GRACE_S,
    choose_seconds,
    choose_settings,
    measure_share,
)
from candlewax.web.sql.compression import choose_encoding, decode_request, encode_answer, is_on
from candlewax.web.sql.http_protocol import Answer, Request, RequestError
from candlewax.web.sql.native_format import CUSTOM_SERIALIZATION, add_protocol_bytes

_log: Final = logging.getLogger(__name__)

WAITING: Final = 16
"""Queries that may wait for a free slot."""

END_S: Final = 3.0
"""Seconds for running queries to end when the process does."""

TURN_S: Final = 15.0
"""Seconds a query waits for a free slot."""

CLIENTS_DEFAULT: Final = "default"
"""Database that JDBC and clickhouse-go name if nobody chose one: it means that of the tables."""

_SETTING: Final = r"\w+ = (?:[^\s',]+|'[^']*')"
_FORMAT_CLAUSE: Final = re.compile(rf" FORMAT \w+((?: SETTINGS {_SETTING}(?:, {_SETTING})*)?)$")
"""FORMAT clause at the end of a statement that ClickHouse formatted."""

_PYTHON_FORMATS: Final = frozenset({"arrowtable", "dataframe", "datastore"})
"""Formats of chDB that are Python objects, not bytes."""


class Reader:
    """Runs queries on the embedded engine of a directory that is already open."""

    def __init__(
        self, folder: Path, database: str, before_query: Callable[[], None] = lambda: None
    ) -> None:
        """`before_query` is called before each query, in its thread: it may store what is new."""
        self._before_query = before_query
        self._path = str(folder.resolve())
        self._database = database
        # The engine lives as long as one of its connections.
        self._connection = engine.connect(self._path)
        facts = self._connection.query("SELECT timezone(), version(), displayName()", "TSVRaw")
        zone, version, name = str(facts.data()).removesuffix("\n").split("\t")
        self.zone, self.version, self.name = zone, version, name
        function_names = self._connection.query(
            "SELECT lower(name) FROM system.table_functions WHERE NOT allow_readonly", "TSVRaw"
        )
        self._external_functions = statement_filter.EXTERNAL_FUNCTIONS | set(
            function_names.data().split()
        )
        self._running_count = 0
        self._query_ended = threading.Condition()

    def run(self, request: Request) -> Answer:
        """Return the answer to a query, run on its own connection: settings end with it."""
        if request.form.lower() in _PYTHON_FORMATS or not re.fullmatch(r"\w+", request.form):
            raise RequestError(73, f"Unknown format {request.form}", "UNKNOWN_FORMAT")
        self._before_query()
        answer = self._query(request)
        if answer.form == "Native" and request.protocol_version >= CUSTOM_SERIALIZATION:
            return replace(answer, body=add_protocol_bytes(answer.body))
        return answer

    def _query(self, request: Request) -> Answer:
        """Return the answer as the engine gives it."""
        with self._count_running(), closing(engine.connect(self._path)) as connection:
            database = request.parameters.get("database", "")
            if database in {"", CLIENTS_DEFAULT}:
                database = self._database
            connection.query(f"USE {http_protocol.quote(database, '`')}")
            sql = self._checked_statement(connection, request.sql)
            if request.header_format:
                # As in ClickHouse since 26.8, the header wins over the query.
                sql = _FORMAT_CLAUSE.sub(r"\1", sql)
            settings = choose_settings(request.settings, measure_share(connection))
            connection.query(f"SET {http_protocol.settings_clause(settings)}")
            # From here on no setting can be changed, this one included.
            connection.query("SET readonly = 1")
            result = connection.query(sql, request.form, params=request.query_parameters)
            return http_protocol.answer(result, sql.encode(), request.form)

    @contextmanager
    def _count_running(self) -> Iterator[None]:
        with self._query_ended:
            self._running_count += 1
        try:
            yield
        finally:
            with self._query_ended:
                self._running_count -= 1
                self._query_ended.notify_all()

    def _checked_statement(self, connection: Any, sql: bytes) -> str:  # noqa: ANN401 - untyped
        """Return the statement as ClickHouse formats it. Raises RequestError if not allowed."""
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
        # TSVRaw adds the last newline.
        statement = str(formatted.data()).removesuffix("\n")
        statement_filter.check_statement(statement, self._external_functions)
        return statement

    def close(self) -> None:
        """Close the engine after its queries have ended, or leave it behind after END_S."""
        with self._query_ended:
            if self._running_count:
                # Only these queries run with this setting.
                self._connection.query("KILL QUERY WHERE Settings['readonly'] = '1' ASYNC")
            if not self._query_ended.wait_for(lambda: not self._running_count, END_S):
                _log.warning("a query cannot be cancelled; the engine is left behind")
                engine.mark_still_running()
                return
        self._connection.close()


class Sql:
    """HTTP handlers for clients of ClickHouse."""

    def __init__(self, reader: Reader | None) -> None:
        self._reader = reader
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting_count = 0

    async def ping(self, _: HttpRequest) -> Response:
        """Return "Ok.", as ClickHouse does."""
        return Response(b"Ok.\n", media_type="text/plain")

    async def answer(self, http: HttpRequest) -> Response:
        """Return the answer to one query, or its error in ClickHouse's form."""
        if self._reader is None:
            text = "the tables are on a ClickHouse server: send queries to it"
            raise Problem(404, "no_sql_here", text)
        parameters: Mapping[str, str] = dict(http.query_params)
        in_blocks = is_on(parameters, "compress")
        try:
            parameters, answer = await self._run_query(self._reader, http, parameters)
            status, body, own_headers = 200, answer.body, answer.headers
        except Problem:
            raise
        except Exception as error:  # noqa: BLE001 - the client gets every error
            refusal = http_protocol.refuse(error, self._reader.version)
            status, body, own_headers = refusal.status, refusal.body, refusal.headers
            # As in ClickHouse: an error found before the query is plain text.
            in_blocks = in_blocks and status != HTTPStatus.FORBIDDEN
        names = self._reader.zone, self._reader.name
        headers = {**http_protocol.common_headers(*names, parameters), **own_headers}
        headers["Cache-Control"] = "no-store"
        encoding = choose_encoding(parameters, http.headers.get("accept-encoding", ""))
        if encoding:
            headers["Content-Encoding"] = encoding
        if in_blocks or encoding:
            encode = partial(encode_answer, body, parameters, encoding, in_blocks=in_blocks)
            body = await run_in_threadpool(encode)
        return Response(body, status, headers, "text/plain")

    async def _run_query(
        self, reader: Reader, http: HttpRequest, parameters: Mapping[str, str]
    ) -> tuple[Mapping[str, str], Answer]:
        body = decode_request(
            await http.body(),
            http.headers.get("content-encoding", ""),
            MOST_BYTES,
            in_blocks=is_on(parameters, "decompress"),
        )
        parameters, request = http_protocol.read(parameters, http.headers, body, reads_only=True)
        user, password = http_protocol.read_account(http.headers, parameters)
        if (user or "default", password) != ("default", ""):
            raise http_protocol.authentication_error(user)
        return parameters, await self._run_in_slot(partial(reader.run, request), request.settings)

    async def _run_in_slot(self, run: Callable[[], Answer], settings: Mapping[str, str]) -> Answer:
        """Run a query once a slot is free, and answer at its time limit at the latest.

        If the engine cannot stop a query, such as a function over a long text, the query runs on
        and keeps its slot. The queries that wait for it then time out.
        """
        if self._waiting_count >= WAITING:
            raise _too_many_queries()
        self._waiting_count += 1
        try:
            await asyncio.wait_for(self._slots.acquire(), TURN_S)
        except TimeoutError:
            raise _too_many_queries() from None
        finally:
            self._waiting_count -= 1
        running = _run_in_thread(run)
        running.add_done_callback(self._free_slot)
        seconds = choose_seconds(settings)
        try:
            done, _ = await asyncio.wait({running}, timeout=seconds + GRACE_S)
        except asyncio.CancelledError:
            # The server is shutting down and has already waited.
            raise RequestError(236, "The server is shutting down.", "ABORTED") from None
        if done:
            return running.result()
        _log.warning("a query runs %g s beyond its time limit; the engine does not end it", GRACE_S)
        raise RequestError(
            159,
            f"Timeout exceeded: the limit is {seconds} seconds and the query still runs",
            "TIMEOUT_EXCEEDED",
        )

    def _free_slot(self, running: "asyncio.Future[Answer]") -> None:
        self._slots.release()
        # Mark the error as read: the client may be gone.
        running.exception()


def _run_in_thread(run: Callable[[], Answer]) -> "asyncio.Future[Answer]":
    """Run a query in a daemon thread of its own, so that the end of the process does not wait."""
    loop = asyncio.get_running_loop()
    running: asyncio.Future[Answer] = loop.create_future()

    def work() -> None:
        try:
            report_result: Callable[[], None] = partial(running.set_result, run())
        except Exception as error:  # noqa: BLE001 - the client gets every error
            report_result = partial(running.set_exception, error)
        with suppress(RuntimeError):  # the event loop has closed
            loop.call_soon_threadsafe(report_result)

    threading.Thread(target=work, name="sql", daemon=True).start()
    return running


def _too_many_queries() -> RequestError:
    return RequestError(202, "Too many simultaneous queries", "TOO_MANY_SIMULTANEOUS_QUERIES")
