"""FORMAT Native for clients that name a version of ClickHouse's native protocol.

With `client_protocol_version` a block begins with its BlockInfo, and from version 54454 on each
column tells whether its serialization is a custom one. clickhouse-go, and so Grafana's plugin,
can read no other form. The embedded engine writes version 0 alone, so the bytes are added here.
That takes the length of each column, which follows from its type and its values.

Source: `src/Formats/NativeWriter.cpp` and `src/DataTypes/Serializations` of ClickHouse.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from candlewax.web.sql.http_protocol import RequestError

CUSTOM_SERIALIZATION: Final = 54454
"""First version with a byte per column. clickhouse-connect asks for 54405, and reads version 0."""

_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""No overflow row, no bucket."""

_NOT_CUSTOM: Final = b"\x00"

_WIDTHS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("UInt8", "Int8", "Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("UInt16", "Int16", "Enum16", "Date", "BFloat16"), 2),
    **dict.fromkeys(("UInt32", "Int32", "Float32", "Date32", "DateTime", "Time", "IPv4"), 4),
    **dict.fromkeys(("UInt64", "Int64", "Float64", "DateTime64", "Time64"), 8),
    **dict.fromkeys(("UInt128", "Int128", "UUID", "IPv6"), 16),
    **dict.fromkeys(("UInt256", "Int256"), 32),
}
"""Bytes of a value by type."""

_ALIASES: Final[Mapping[str, str]] = {
    "Point": "Tuple(Float64, Float64)",
    **dict.fromkeys(("Ring", "LineString", "MultiPoint"), "Array(Point)"),
    **dict.fromkeys(("Polygon", "MultiLineString"), "Array(Ring)"),
    "MultiPolygon": "Array(Polygon)",
}

_PARTS: Final = re.compile(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[(),]|[^'`(),]+", re.DOTALL)
_ELEMENT_NAME: Final = re.compile(r"(?:`(?:[^`\\]|\\.)*`|\w+) ", re.DOTALL)
_UINT64: Final = struct.Struct("<Q")
_JSON_AS_TEXT: Final = 1
_OWN_DICTIONARY: Final = 0x200


@dataclass(frozen=True)
class _Type:
    name: str
    arguments: tuple[str, ...]

    @property
    def inner(self) -> tuple["_Type", ...]:
        """Return the types of the parts, in the order of their data."""
        if self.name in {"Tuple", "Nested"}:
            return tuple(_parse(_ELEMENT_NAME.sub("", text, 1)) for text in self.arguments)
        if self.name == "SimpleAggregateFunction":
            return (_parse(self.arguments[-1]),)
        return tuple(map(_parse, self.arguments))


@lru_cache(maxsize=1000)
def _parse(text: str) -> _Type:
    """Return a type from its text, with the texts of its arguments."""
    text = _ALIASES.get(text, text)
    name, bracket, rest = text.partition("(")
    if not bracket:
        return _Type(name, ())
    arguments = [""]
    depth = 0
    for part in _PARTS.findall(rest.removesuffix(")")):
        depth += (part == "(") - (part == ")")
        if part == "," and not depth:
            arguments.append("")
        else:
            arguments[-1] += part
    return _Type(name, tuple(argument.strip() for argument in arguments))


def _width(kind: _Type) -> int | None:
    """Return the bytes of a value of a type; None if they differ from value to value."""
    if kind.name == "FixedString":
        return int(kind.arguments[0])
    if kind.name == "Decimal":
        digits = int(kind.arguments[0])
        return next(
            width for most, width in ((9, 4), (18, 8), (38, 16), (76, 32)) if digits <= most
        )
    if kind.name.startswith("Interval"):
        return 8
    return _WIDTHS.get(kind.name)


def add_protocol_bytes(data: bytes) -> bytes:
    """Return FORMAT Native of version 0 in the form of CUSTOM_SERIALIZATION.

    Raises RequestError for a type whose length is not known here.
    """
    walker = _Walker(data)
    # Views: an answer may be as large as the memory left for its query.
    view = memoryview(data)
    pieces: list[bytes | memoryview] = []
    while walker.position < len(data):
        begin = walker.position
        columns, rows = walker.read_number(), walker.read_number()
        pieces += [_BLOCK_INFO, view[begin : walker.position]]
        for _ in range(columns):
            begin = walker.position
            name, type_text = walker.read_text(), walker.read_text()
            head_end = walker.position
            if rows:
                walker.skip_column(name, _parse(type_text), rows)
            pieces += [view[begin:head_end], _NOT_CUSTOM, view[head_end : walker.position]]
    return b"".join(pieces)


class _Walker:
    """Steps over the columns of blocks in FORMAT Native."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def read_number(self) -> int:
        """Return a number of variable length."""
        number = shift = 0
        while True:
            byte = self._data[self.position]
            self.position += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    def read_text(self) -> str:
        """Return a text after its length."""
        length = self.read_number()
        begin = self.position
        self.position += length
        return self._data[begin : self.position].decode(errors="replace")

    def _read_uint64(self) -> int:
        number: int = _UINT64.unpack_from(self._data, self.position)[0]
        self.position += _UINT64.size
        return number

    def skip_column(self, column: str, kind: _Type, rows: int) -> None:
        """Step over the prefix and the values of a column."""
        try:
            self._skip_prefix(kind)
            self._skip_values(kind, rows)
        except _UnknownTypeError as error:
            raise RequestError(
                48,
                f"Column {column[:100]!r} has the type {error}, which FORMAT Native cannot give to "
                "a client with client_protocol_version here; use toString or finalizeAggregation",
                "NOT_IMPLEMENTED",
            ) from None

    def _skip_prefix(self, kind: _Type) -> None:
        """Step over what stands before all values of a column: versions of serializations."""
        if kind.name == "LowCardinality":
            self._read_uint64()
        elif kind.name == "JSON":
            if self._read_uint64() != _JSON_AS_TEXT:
                raise _UnknownTypeError(kind.name)
        elif _width(kind) is None:
            for part in kind.inner:
                self._skip_prefix(part)

    def _skip_values(self, kind: _Type, rows: int) -> None:
        width = _width(kind)
        if width is not None:
            self.position += rows * width
        elif kind.name in {"String", "JSON"}:
            self._skip_texts(rows)
        elif kind.name == "Nullable":
            self.position += rows
            self._skip_values(kind.inner[0], rows)
        elif kind.name in {"Array", "Map", "Nested"}:
            self._skip_arrays(kind, rows)
        elif kind.name == "LowCardinality":
            self._skip_low_cardinality(kind, rows)
        elif kind.name == "Tuple" and kind.arguments:
            for part in kind.inner:
                self._skip_values(part, rows)
        elif kind.name == "SimpleAggregateFunction":
            self._skip_values(kind.inner[0], rows)
        else:
            raise _UnknownTypeError(kind.name)

    def _skip_texts(self, count: int) -> None:
        # The one loop over values: local names make it twice as fast.
        data, position = self._data, self.position
        for _ in range(count):
            length = data[position]
            if length < 0x80:
                position += 1 + length
            else:
                self.position = position
                length = self.read_number()
                position = self.position + length
        self.position = position

    def _skip_arrays(self, kind: _Type, rows: int) -> None:
        """Step over the ends of the arrays, of which the last is the number of elements."""
        self.position += (rows - 1) * _UINT64.size if rows else 0
        elements = self._read_uint64() if rows else 0
        for part in kind.inner:
            self._skip_values(part, elements)

    def _skip_low_cardinality(self, kind: _Type, rows: int) -> None:
        """Step over a dictionary, whose values are never null, and the indexes into it."""
        if not rows:
            return
        flags = self._read_uint64()
        if flags & _OWN_DICTIONARY:
            (value,) = kind.inner
            self._skip_values(
                value.inner[0] if value.name == "Nullable" else value, self._read_uint64()
            )
        indexes = self._read_uint64()
        self.position += indexes << (flags & 0xFF)


class _UnknownTypeError(Exception):
    """A type whose values cannot be stepped over."""
