"""Forms of an answer: JSON, CSV, Parquet or Arrow, and 304 for a body the client has."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
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


def choose_form(request: Request, form: str | UnsetType) -> str:
    """Return the form a client asks for, by parameter, else by Accept header. Raises Problem."""
    if form is not UNSET:
        return str(form)
    offers = []
    for part in request.headers.get("accept", "*/*").split(","):
        kind, *options = (piece.strip() for piece in part.split(";"))
        if kind.lower() in _NAMES:
            offers.append((_quality(options), _NAMES[kind.lower()]))
    best = max(offers, key=lambda offer: offer[0], default=(0.0, ""))
    if not best[0]:
        media_types = ", ".join(kind.partition(";")[0] for kind in TYPES.values())
        raise Problem(406, "not_acceptable", f"there are {media_types}")
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
    """Return rows in a form other than JSON."""
    return _WRITERS[form](rows)


def write_candles(page: CandlePage, form: str) -> bytes:
    """Return cached candles in a form other than JSON."""
    if form == "csv":
        return page.csv()
    write = columns.as_parquet if form == "parquet" else columns.as_arrow
    return write(page.table())


def _csv(rows: pl.DataFrame) -> bytes:
    lists = [name for name, kind in rows.schema.items() if isinstance(kind, pl.List)]
    flat = rows.with_columns(pl.col(name).list.join(" ") for name in lists)
    return encode.format_values(flat).write_csv().encode()


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
    """Return the body, or 304 if the client already has it."""
    # Differs after each start. A digest would release the interpreter's lock, and getting it back
    # may take longer than all the rest while the pipeline runs in the same process.
    tag = f'"{len(body):x}-{hash(body) % 2**64:016x}"'
    merged = {
        "ETag": tag,
        "Cache-Control": "no-cache",
        "Vary": "Accept, Accept-Encoding",
        "Accept-Ranges": "bytes",
        **(headers or {}),
    }
    cached_tags = [_plain(name) for name in _if_none_match(request).split(",")]
    if tag in cached_tags or "*" in cached_tags:
        return Response(status_code=304, headers=merged)
    return Response(body, 200, merged, TYPES[form])


def respond_lines(
    request: Request, lines: list[bytes], link: str | None, symbols: Sequence[str] = ()
) -> Response:
    """Return rows in JSON, with the link to the next page and the markets' symbols."""
    rest = {"next": link, "symbols": symbols} if symbols else {"next": link}
    body = b'{"data":' + encode.array(lines) + b"," + msgspec.json.encode(rest)[1:]
    return respond(request, body, "json", link_headers(link))


def link_headers(link: str | None) -> dict[str, str]:
    """Return the header that links to the next page."""
    return {"Link": f'<{link}>; rel="next"'} if link else {}


def _if_none_match(request: Request) -> str:
    return request.headers.get("if-none-match", "")


def _plain(tag: str) -> str:
    """Return a tag without what compression adds to it."""
    return tag.strip().removeprefix("W/").replace('-gzip"', '"').replace('-zstd"', '"')
