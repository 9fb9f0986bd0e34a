"""ClickHouse's HTTP interface: how a query is asked for, and how it is answered.

What clients rely on is in ClickHouse's documentation, "HTTP interface", and in
clickhouse-connect: parameters, settings, formats, headers, and errors with their numbers.
"""

import gzip
import json
import re
import uuid
import zlib
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from http import HTTPStatus
from typing import Any, Final

import zstandard

OF_HTTP: Final = frozenset(
    {
        "query", "database", "user", "password", "default_format", "session_id",
        "session_timeout", "session_check", "query_id", "quota_key", "role",
        "wait_end_of_query", "buffer_size", "client_protocol_version",
        "enable_http_compression",
    }
)  # fmt: skip
"""Parameters of a request that are no settings."""

_STATUS: Final = {
    **dict.fromkeys((6, 25, 26, 27, 36, 38, 41, 53, 62, 72, 117, 456, 457), HTTPStatus.BAD_REQUEST),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 81, 115), HTTPStatus.NOT_FOUND),
    **dict.fromkeys((192, 193, 497, 516), HTTPStatus.FORBIDDEN),
    48: HTTPStatus.NOT_IMPLEMENTED,
    159: HTTPStatus.REQUEST_TIMEOUT,
    202: HTTPStatus.SERVICE_UNAVAILABLE,
    209: HTTPStatus.SERVICE_UNAVAILABLE,
    236: HTTPStatus.SERVICE_UNAVAILABLE,
    373: HTTPStatus.LOCKED,
    # Wrong in the engine, or on its disk: LOGICAL_ERROR, files, STD_EXCEPTION, UNKNOWN_EXCEPTION.
    **dict.fromkeys((49, 74, 75, 76, 243, 1001, 1002), HTTPStatus.INTERNAL_SERVER_ERROR),
}
"""By the number of an error."""

_SELECTS: Final = re.compile(
    rb"\s*\(*\s*(SELECT|WITH|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN)\b", re.IGNORECASE
)
_FORMAT: Final = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_CODE: Final = re.compile(r"Code: (\d+)\. DB::Exception: ")


class RequestError(Exception):
    """A request that is refused, with the number and the name ClickHouse has for it."""

    def __init__(self, code: int, text: str, name: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text} ({name})")


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    parameters: Mapping[str, str]
    sql: bytes
    reads_only: bool
    wanted_form: str = ""
    """The format that the header X-ClickHouse-Format asks for, whatever the query names."""

    @property
    def settings(self) -> dict[str, str]:
        """What is to be set for the query."""
        return {
            name: value
            for name, value in self.parameters.items()
            if name not in OF_HTTP and not name.startswith("param_")
        }

    @property
    def bound(self) -> dict[str, str]:
        """The values of the query's parameters."""
        return {
            name.removeprefix("param_"): value
            for name, value in self.parameters.items()
            if name.startswith("param_")
        }

    @property
    def form(self) -> str:
        """The format of rows, if the query names none."""
        return self.wanted_form or self.parameters.get("default_format") or "TabSeparated"


@dataclass(frozen=True)
class Answer:
    """What the engine says."""

    body: bytes
    form: str | None
    summary: dict[str, str]

    @property
    def headers(self) -> dict[str, str]:
        """What a client learns besides the rows."""
        format_ = {"X-ClickHouse-Format": self.form} if self.form else {}
        return {"X-ClickHouse-Summary": json.dumps(self.summary), **format_}


@dataclass(frozen=True)
class Refusal:
    """What a client is told when something is wrong."""

    status: int
    body: bytes
    headers: dict[str, str]


def read(
    given: Mapping[str, str], headers: Mapping[str, str], body: bytes, *, reads_only: bool
) -> tuple[Mapping[str, str], Request]:
    """Return the parameters and the request of an address, its headers (by small names) and a
    body. Raises RequestError.
    """
    kind = headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        given, body = {**given, **_fields(kind, body)}, b""
    for name in ("compress", "decompress"):
        if given.get(name, "0") not in ("0", "false", ""):
            raise RequestError(
                48,
                f"{name}={given[name]} is not supported here: it asks for ClickHouse's own "
                "compressed blocks. Use enable_http_compression=1 with the header "
                "Accept-Encoding, and send bodies as they are",
                "NOT_IMPLEMENTED",
            )
    if "database" not in given and headers.get("x-clickhouse-database"):
        given = {**given, "database": headers["x-clickhouse-database"]}
    if not is_header_text(given.get("query_id", "")):
        raise RequestError(
            36,
            "query_id takes printable ASCII characters, at most 200, no blank at either end",
            "BAD_ARGUMENTS",
        )
    query = given.get("query", "").encode()
    sql = query + b"\n" + body if query and body else query or body
    return given, Request(given, sql, reads_only, headers.get("x-clickhouse-format", ""))


def is_header_text(text: str) -> bool:
    """Return whether a text may stand in a header of an answer."""
    return len(text) <= 200 and text.isascii() and text.isprintable() and text == text.strip()


def _fields(kind: str, body: bytes) -> dict[str, str]:
    """The fields of a form."""
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


def account(headers: Mapping[str, str], given: Mapping[str, str]) -> tuple[str, str]:
    """The user and the password that a request comes with; headers by small names."""
    user = headers.get("x-clickhouse-user", given.get("user", "default"))
    password = headers.get("x-clickhouse-key", given.get("password", ""))
    kind, _, coded = headers.get("authorization", "").partition(" ")
    if kind == "Basic":
        try:
            user, _, password = b64decode(coded, validate=True).decode().partition(":")
        except ValueError:  # no base64, or no text within
            raise not_let_in("") from None
    return user, password


def not_let_in(user: str) -> RequestError:
    """The account is none."""
    text = (
        f"{user}: Authentication failed: password is incorrect, or there is no user with such name."
    )
    return RequestError(516, text, "AUTHENTICATION_FAILED")


def quoted(text: str, mark: str = "'") -> str:
    """A string, or between backticks a name, as it stands in SQL."""
    escaped = text.replace("\\", "\\\\").replace(mark, "\\" + mark)
    return f"{mark}{escaped}{mark}"


def clause(settings: Mapping[str, str]) -> str:
    """Settings as they stand behind SET or SETTINGS. Raises RequestError."""
    for name in settings:
        if not re.fullmatch(r"\w+", name):
            raise RequestError(115, f"Unknown setting '{name}'", "UNKNOWN_SETTING")
    return ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items())


def answer(result: Any, sql: bytes, default: str) -> Answer:  # noqa: ANN401 - chDB's own
    """The answer that a result of the engine makes."""
    numbers = {
        "read_rows": result.storage_rows_read(),
        "read_bytes": result.storage_bytes_read(),
        "written_rows": result.rows_written(),
        "written_bytes": result.bytes_written(),
        "elapsed_ns": int(result.elapsed() * 1e9),
    }
    summary = {name: str(number) for name, number in numbers.items()}
    return Answer(result.bytes() or b"", _form(sql, default), summary)


def _form(sql: bytes, default: str) -> str | None:
    """The format of a query's rows; None if it has none."""
    if not _SELECTS.match(re.sub(rb"^(\s*--[^\n]*\n)+", b"", sql)):
        return None
    found = _FORMAT.search(sql)
    return found[1].decode() if found else default


def refusal(
    error: Exception, version: str, otherwise: HTTPStatus = HTTPStatus.BAD_REQUEST
) -> Refusal:
    """What a client is told of an error; `otherwise` is the status of those without one of their
    own.
    """
    text = str(error)
    found = _CODE.search(text)
    code = int(found[1]) if found else 1002
    text = text[found.start() :] if found else f"Code: 1002. DB::Exception: {text} (UNKNOWN)"
    status = _STATUS.get(code, otherwise)
    body = f"{text.strip()} (version {version})\n".encode()
    return Refusal(int(status), body, {"X-ClickHouse-Exception-Code": str(code)})


def told(zone: str, given: Mapping[str, str]) -> dict[str, str]:
    """The headers of every answer."""
    return {
        "X-ClickHouse-Timezone": zone,
        "X-ClickHouse-Query-Id": _query_id(given.get("query_id", "")),
    }


def _query_id(given: str) -> str:
    return given if given and is_header_text(given) else str(uuid.uuid4())


Pack = Callable[[bytes], bytes]

PACKED: Final[dict[str, Pack]] = {
    "zstd": lambda data: zstandard.ZstdCompressor(level=1).compress(data),
    "gzip": lambda data: gzip.compress(data, 1),
    "deflate": zlib.compress,
}
"""How answers are compressed."""


def encoding(given: Mapping[str, str], offered: str, known: Mapping[str, Pack]) -> str | None:
    """How the answer is to be compressed, if a client asks for that."""
    if given.get("enable_http_compression") != "1":
        return None
    names = (part.partition(";")[0].strip() for part in offered.split(","))
    return next((name for name in names if name in known), None)
