"""Shapes of exchange messages: the fields of a native trade and their JSON types.

A frame is read in one of two ways that give the same text columns. A pattern extracts columns from
frames that have today's layout. All other frames are parsed as JSON one by one, with their fields
in any order. No number passes through a float.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

TEXT = "text"
INTEGER = "integer"
NUMBER = "number"
SIGNED = "number with a sign"
BOOLEAN = "boolean"

# Exchanges send printable ASCII without quote and backslash, and whole numbers without a sign.
# Frames with anything else are parsed as JSON one by one.
_PATTERNS = {
    TEXT: r'"([ !#-\[\]-~]*)"',
    INTEGER: r"(0|[1-9][0-9]*)",
    NUMBER: r"((?:0|[1-9][0-9]*)(?:\.[0-9]+)?)",
    SIGNED: r"(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)",
    BOOLEAN: r"(true|false)",
}
_SCALAR = r'(?:"[ !#-\[\]-~]*"|[0-9.]+)'


class FrameError(ValueError):
    """Error of a frame, or of one of its trades, that cannot be read.

    `reason`: a short fixed word. `detail`: the expected and the actual content.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Field:
    """A field of a native trade: its JSON type, and whether it may be absent."""

    type: str
    optional: bool = False


MAX_FIELDS = 64
"""Most fields of a trade: each becomes a column of its batch."""

Fields = Mapping[str, Field]
NativeTrade = dict[str, str]


def fields_of(kind: str, *names: str, optional: bool = False) -> dict[str, Field]:
    """Return fields of one JSON type."""
    return {name: Field(kind, optional) for name in names}


class Number(str):
    """Text of a JSON number that is not whole."""

    __slots__ = ()


_decoder = msgspec.json.Decoder(float_hook=Number)


def parse(frame: str) -> Any:  # noqa: ANN401 - JSON may be anything
    """Decode JSON, and keep every number that is not whole as its text.

    Raises FrameError `empty_frame` or `bad_json`.
    """
    if not frame.strip():
        raise FrameError("empty_frame", "the frame holds no text")
    try:
        return _decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FrameError("bad_json", str(error)) from error


def to_text(value: Any) -> str:  # noqa: ANN401 - JSON may be anything
    """Return the text of a decoded JSON value."""
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def bad_shape(expected: str, got: Any) -> FrameError:  # noqa: ANN401 - JSON may be anything
    """Return the error for JSON of an unexpected shape."""
    return FrameError("bad_shape", f"expected {expected}, got {_describe(got)}")


def _describe(value: Any) -> str:  # noqa: ANN401 - JSON may be anything
    """Describe a JSON value such that text and numbers of the same digits differ."""
    if isinstance(value, Number) or type(value) is int:
        return f"the number {to_text(value)[:100]}"
    if isinstance(value, str):
        return f'the text "{value[:100]}"'
    return to_text(value)[:100]


def read_trade(trade: Any, shape: Fields, ignored: frozenset[str] = frozenset()) -> NativeTrade:  # noqa: ANN401
    """Read one native trade: the texts of its fields, unknown ones included.

    Raises FrameError `bad_shape` that names the field.
    """
    if not isinstance(trade, dict):
        raise bad_shape("a trade object", trade)
    if len(trade) > MAX_FIELDS:
        raise FrameError(
            "bad_shape", f"expected at most {MAX_FIELDS} fields, got {len(trade)} fields"
        )
    for name, field in shape.items():
        if name in trade:
            if not _fits(trade[name], field.type):
                raise bad_shape(f"{field.type} in field {name!r}", trade[name])
        elif not field.optional:
            raise bad_shape(f"a field {name!r}", trade)
    return {name: to_text(value) for name, value in trade.items() if name not in ignored}


def try_read(
    trade: Any,  # noqa: ANN401 - JSON may be anything
    shape: Fields,
    ignored: frozenset[str] = frozenset(),
) -> NativeTrade | FrameError:
    """Read one native trade, or return the error: other trades of its frame stay readable."""
    try:
        return read_trade(trade, shape, ignored)
    except FrameError as error:
        return error


def _fits(value: Any, kind: str) -> bool:  # noqa: ANN401 - JSON may be anything
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if kind == INTEGER:
        return is_whole
    if kind in (NUMBER, SIGNED):
        return is_whole or isinstance(value, Number)
    if kind == BOOLEAN:
        return isinstance(value, bool)
    return isinstance(value, str) and not isinstance(value, Number)


def build_pattern(shape: Fields, template: str) -> str:
    """Return the regular expression of JSON laid out as `template`.

    In a template `<name>` is the value of a field, `<*>` any string or number; everything else is
    literal. Each field is a capture group of its own name.
    """
    parts = []
    for piece in re.split(r"(<[\w*]+>)", template):
        if piece == "<*>":
            parts.append(_SCALAR)
        elif piece.startswith("<"):
            name = piece[1:-1]
            parts.append(_PATTERNS[shape[name].type].replace("(", f"(?<{name}>", 1))
        else:
            parts.append(re.sub(r"([.\\+*?()|\[\]{}^$])", r"\\\1", piece))
    return "".join(parts)
