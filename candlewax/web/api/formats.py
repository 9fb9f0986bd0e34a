"""In which form rows leave: JSON, CSV, Parquet or Arrow, and whether they are known already."""

import io
from collections.abc import Callable, Mapping
from typing import Final

import polars as pl
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from candlewax.web import encode
from candlewax.web.cache import columns
from candlewax.web.cache.chunks import CandlePage
from candlewax.web.problem import Problem

TYPES: Final = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}

_NAMES: Final = {
    "application/json": "json",
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/*": "json",
    "text/*": "csv",
    "*/*": "json",
}


def wanted(request: Request, chosen: str | UnsetType) -> str:
    """The form a client wants: by parameter, else by its Accept header. Raises Problem."""
    if chosen is not UNSET:
        return str(chosen)
    offers = []
    for part in request.headers.get("accept", "*/*").split(","):
        kind, *options = (piece.strip() for piece in part.split(";"))
        if kind.lower() in _NAMES:
            offers.append((_quality(options), _NAMES[kind.lower()]))
    best = max(offers, key=lambda offer: offer[0], default=(0.0, ""))
    if not best[0]:
        known = ", ".join(kind.partition(";")[0] for kind in TYPES.values())
        raise Problem(406, "not_acceptable", f"there are {known}")
    return best[1]


def _quality(options: list[str]) -> float:
    for option in options:
        if option.startswith("q="):
            try:
                return float(option[2:])
            except ValueError:
                return 0.0
    return 1.0


def write(rows: pl.DataFrame, form: str) -> bytes:
    """Rows in a form that is no JSON."""
    return _WRITERS[form](rows)


def write_candles(found: CandlePage, form: str) -> bytes:
    """Kept candles in a form that is no JSON."""
    if form == "csv":
        return found.csv()
    write = columns.as_parquet if form == "parquet" else columns.as_arrow
    return write(found.table())


def _csv(rows: pl.DataFrame) -> bytes:
    lists = [name for name, kind in rows.schema.items() if isinstance(kind, pl.List)]
    flat = rows.with_columns(pl.col(name).list.join(" ") for name in lists)
    return encode.readable(flat).write_csv().encode()


def _parquet(rows: pl.DataFrame) -> bytes:
    target = io.BytesIO()
    rows.write_parquet(target)
    return target.getvalue()


def _arrow(rows: pl.DataFrame) -> bytes:
    target = io.BytesIO()
    rows.write_ipc_stream(target, compat_level=pl.CompatLevel.oldest())
    return target.getvalue()


_WRITERS: Final[Mapping[str, Callable[[pl.DataFrame], bytes]]] = {
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
}


def respond(
    request: Request, body: bytes, form: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The body; or only that it has not changed, if the client has it."""
    # Another one after each start. To take a digest lets go of the interpreter's lock, and
    # to get it back may take longer than all the rest while the pipeline runs beside.
    tag = f'"{len(body):x}-{hash(body) % 2**64:016x}"'
    said = {"ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept", **(headers or {})}
    known = [name.strip().removeprefix("W/") for name in _known(request).split(",")]
    if tag in known or "*" in known:
        return Response(status_code=304, headers=said)
    return Response(body, 200, said, TYPES[form])


def _known(request: Request) -> str:
    return request.headers.get("if-none-match", "")
