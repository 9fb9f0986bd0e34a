"""ClickHouse's HTTP interface: parameters of a query, formats, headers and errors.

Sources: "HTTP interface" in ClickHouse's documentation, and clickhouse-connect.
"""

import json
import re
import uuid
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from http import HTTPStatus
from typing import Any, Final

HTTP_PARAMETERS: Final = frozenset(
    {
        "query", "database", "user", "password", "default_format", "session_id",
        "session_timeout", "session_check", "query_id", "quota_key", "role",
        "wait_end_of_query", "buffer_size", "client_protocol_version",
        "enable_http_compression", "compress", "decompress",
    }
)  # fmt: skip
"""Request parameters that are not settings."""

_HTTP_STATUS: Final = {
    **dict.fromkeys((6, 25, 26, 27, 36, 38, 41, 53, 62, 72, 117, 456, 457), HTTPStatus.BAD_REQUEST),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 81, 115), HTTPStatus.NOT_FOUND),
    **dict.fromkeys((192, 193, 497, 516), HTTPStatus.FORBIDDEN),
    48: HTTPStatus.NOT_IMPLEMENTED,
    159: HTTPStatus.REQUEST_TIMEOUT,
    202: HTTPStatus.SERVICE_UNAVAILABLE,
    209: HTTPStatus.SERVICE_UNAVAILABLE,
    236: HTTPStatus.SERVICE_UNAVAILABLE,
    373: HTTPStatus.LOCKED,
    # Faults of the engine or its disk: LOGICAL_ERROR, files, STD_EXCEPTION, UNKNOWN_EXCEPTION.
    **dict.fromkeys((49, 74, 75, 76, 243, 1001, 1002), HTTPStatus.INTERNAL_SERVER_ERROR),
}
"""HTTP status by error number."""

_SELECTS: Final = re.compile(
    rb"\s*\(*\s*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN)\b", re.IGNORECASE
)
_FORMAT: Final = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_CODE: Final = re.compile(r"Code: (\d+)\. DB::Exception: ")


class RequestError(Exception):
    """A refused request, with ClickHouse's number and name of the error."""

    def __init__(self, code: int, text: str, name: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text} ({name})")


@dataclass(frozen=True)
class Request:
    """One query of a client."""

    parameters: Mapping[str, str]
    sql: bytes
    reads_only: bool
    header_format: str = ""
    """Format in the header X-ClickHouse-Format; it takes precedence over the query's."""

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings of the query."""
        return {
            name: value
            for name, value in self.parameters.items()
            if name not in HTTP_PARAMETERS and not name.startswith("param_")
        }

    @property
    def query_parameters(self) -> dict[str, str]:
        """Return the values of the query's parameters."""
        return {
            name.removeprefix("param_"): value
            for name, value in self.parameters.items()
            if name.startswith("param_")
        }

    @property
    def protocol_version(self) -> int:
        """Return the version of ClickHouse's native protocol that the client knows, or 0."""
        version = self.parameters.get("client_protocol_version", "")
        return int(version) if re.fullmatch(r"[0-9]{1,9}", version) else 0

    @property
    def form(self) -> str:
        """Return the format of rows for a query that names none."""
        return self.header_format or self.parameters.get("default_format") or "TabSeparated"


@dataclass(frozen=True)
class Answer:
    """Result of a query."""

    body: bytes
    form: str | None
    summary: dict[str, str]

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers about format and summary."""
        format_ = {"X-ClickHouse-Format": self.form} if self.form else {}
        return {"X-ClickHouse-Summary": json.dumps(self.summary), **format_}


@dataclass(frozen=True)
class Refusal:
    """Response to a request that failed."""

    status: int
    body: bytes
    headers: dict[str, str]


def read(
    parameters: Mapping[str, str], headers: Mapping[str, str], body: bytes, *, reads_only: bool
) -> tuple[Mapping[str, str], Request]:
    """Return parameters and query of an HTTP request. Header names are lower case.

    Raises RequestError.
    """
    kind = headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        parameters, body = {**parameters, **_form_fields(kind, body)}, b""
    if "database" not in parameters and headers.get("x-clickhouse-database"):
        parameters = {**parameters, "database": headers["x-clickhouse-database"]}
    if "query_id" not in parameters and headers.get("x-clickhouse-query-id"):
        parameters = {**parameters, "query_id": headers["x-clickhouse-query-id"]}
    if not is_header_text(parameters.get("query_id", "")):
        raise RequestError(
            36,
            "query_id takes printable ASCII characters, at most 200, no blank at either end",
            "BAD_ARGUMENTS",
        )
    query = parameters.get("query", "").encode()
    sql = query + b"\n" + body if query and body else query or body
    return parameters, Request(parameters, sql, reads_only, headers.get("x-clickhouse-format", ""))


def is_header_text(text: str) -> bool:
    """Return whether a text may stand in a response header."""
    return len(text) <= 200 and text.isascii() and text.isprintable() and text == text.strip()


def _form_fields(kind: str, body: bytes) -> dict[str, str]:
    """Return the fields of a multipart form. Raises RequestError."""
    form: Any = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    if not form.is_multipart():
        raise RequestError(117, "The form cannot be read", "INCORRECT_DATA")
    fields = {}
    for part in form.get_payload():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if payload is None:
            raise RequestError(
                117, f"The field {str(name)[:100]!r} of the form is a form itself", "INCORRECT_DATA"
            )
        try:
            fields[str(name)] = payload.decode()
        except UnicodeDecodeError:
            raise RequestError(
                117, f"The field {str(name)[:100]!r} of the form is not UTF-8", "INCORRECT_DATA"
            ) from None
    return fields


def read_account(headers: Mapping[str, str], parameters: Mapping[str, str]) -> tuple[str, str]:
    """Return user and password of a request. Header names are lower case."""
    user = headers.get("x-clickhouse-user", parameters.get("user", "default"))
    password = headers.get("x-clickhouse-key", parameters.get("password", ""))
    kind, _, encoded = headers.get("authorization", "").partition(" ")
    if kind == "Basic":
        try:
            user, _, password = b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:  # not base64, or not UTF-8
            raise authentication_error("") from None
    return user, password


def authentication_error(user: str) -> RequestError:
    """Return the error for a wrong user or password."""
    text = (
        f"{user}: Authentication failed: password is incorrect, or there is no user with such name."
    )
    return RequestError(516, text, "AUTHENTICATION_FAILED")


def quote(text: str, mark: str = "'") -> str:
    """Return text as a SQL string, or with backticks as a name."""
    escaped = text.replace("\\", "\\\\").replace(mark, "\\" + mark)
    return f"{mark}{escaped}{mark}"


def settings_clause(settings: Mapping[str, str]) -> str:
    """Return settings as they follow SET or SETTINGS. Raises RequestError."""
    for name in settings:
        if not re.fullmatch(r"\w+", name):
            raise RequestError(115, f"Unknown setting '{name}'", "UNKNOWN_SETTING")
    return ", ".join(f"{name} = {quote(value)}" for name, value in settings.items())


def answer(result: Any, sql: bytes, default: str) -> Answer:  # noqa: ANN401 - chDB has no types
    """Return the answer for a result of the engine."""
    numbers = {
        "read_rows": result.storage_rows_read(),
        "read_bytes": result.storage_bytes_read(),
        "written_rows": result.rows_written(),
        "written_bytes": result.bytes_written(),
        "elapsed_ns": int(result.elapsed() * 1e9),
    }
    summary = {name: str(number) for name, number in numbers.items()}
    return Answer(result.bytes() or b"", _format_of(sql, default), summary)


def _format_of(sql: bytes, default: str) -> str | None:
    """Return the format of a query's rows; None if the query has none."""
    if not _SELECTS.match(re.sub(rb"^(\s*--[^\n]*\n)+", b"", sql)):
        return None
    match = _FORMAT.search(sql)
    return match[1].decode() if match else default


def refuse(
    error: Exception, version: str, default_status: HTTPStatus = HTTPStatus.BAD_REQUEST
) -> Refusal:
    """Return the response for an error; `default_status` is for numbers not listed here."""
    text = str(error)
    match = _CODE.search(text)
    code = int(match[1]) if match else 1002
    text = text[match.start() :] if match else f"Code: 1002. DB::Exception: {text} (UNKNOWN)"
    status = _HTTP_STATUS.get(code, default_status)
    body = f"{text.strip()} (version {version})\n".encode()
    return Refusal(int(status), body, {"X-ClickHouse-Exception-Code": str(code)})


def common_headers(zone: str, server_name: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of every answer."""
    return {
        "X-ClickHouse-Server-Display-Name": server_name,
        "X-ClickHouse-Timezone": zone,
        "X-ClickHouse-Query-Id": _query_id(parameters.get("query_id", "")),
    }


def _query_id(requested: str) -> str:
    return requested if requested and is_header_text(requested) else str(uuid.uuid4())
