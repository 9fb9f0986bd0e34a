"""Shapes of exchange messages: one definition, read two ways.

A shape names the fields of a native trade and the JSON type of each. From it
come both ways of reading a frame: the pattern that lifts whole columns out of
frames laid out as the exchange sends them today, and the check that reads any
other frame with the same fields, in whatever order, one by one. Both give the
same columns of text, so that no number passes through a float.
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
BOOLEAN = "boolean"

# Printable ASCII without quote and backslash, whole numbers without a sign:
# what the exchanges send. Anything else is read one by one.
_PATTERNS = {
    TEXT: r'"([ !#-\[\]-~]*)"',
    INTEGER: r"(0|[1-9][0-9]*)",
    NUMBER: r"((?:0|[1-9][0-9]*)(?:\.[0-9]+)?)",
    BOOLEAN: r"(true|false)",
}
_SCALAR = r'(?:"[ !#-\[\]-~]*"|[0-9.]+)'


class FrameError(ValueError):
    """A frame, or one trade of it, that cannot be read.

    `reason` is a short fixed word, `detail` says what was expected and what came.
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


MOST_FIELDS = 64
"""Of a trade; each field is a column of its batch."""

Fields = Mapping[str, Field]
NativeTrade = dict[str, str]


class Number(str):
    """The text of a JSON number that is not whole."""

    __slots__ = ()


_decoder = msgspec.json.Decoder(float_hook=Number)


def parse(frame: str) -> Any:  # noqa: ANN401 - JSON may be anything
    """Decode JSON with every number that is not whole left as its text.

    Raises FrameError `empty_frame` or `bad_json`.
    """
    if not frame.strip():
        raise FrameError("empty_frame", "the frame holds no text")
    try:
        return _decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FrameError("bad_json", str(error)) from error


def text(value: Any) -> str:  # noqa: ANN401 - JSON may be anything
    """A decoded JSON value as the text that stands for it."""
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def bad_shape(expected: str, got: Any) -> FrameError:  # noqa: ANN401 - JSON may be anything
    """Return the error for JSON that is not what it should be."""
    return FrameError("bad_shape", f"expected {expected}, got {_described(got)}")


def _described(value: Any) -> str:  # noqa: ANN401 - JSON may be anything
    """Describe a JSON value such that text and numbers of the same digits differ."""
    if isinstance(value, Number) or type(value) is int:
        return f"the number {text(value)[:100]}"
    if isinstance(value, str):
        return f'the text "{value[:100]}"'
    return text(value)[:100]


def read(trade: Any, shape: Fields, ignored: frozenset[str] = frozenset()) -> NativeTrade:  # noqa: ANN401
    """Read one native trade: its fields as text, unknown fields along with them.

    Raises FrameError `bad_shape` naming the field.
    """
    if not isinstance(trade, dict):
        raise bad_shape("a trade object", trade)
    if len(trade) > MOST_FIELDS:
        raise FrameError(
            "bad_shape", f"expected at most {MOST_FIELDS} fields, got {len(trade)} fields"
        )
    for name, field in shape.items():
        if name in trade:
            if not _fits(trade[name], field.type):
                raise bad_shape(f"{field.type} in field {name!r}", trade[name])
        elif not field.optional:
            raise bad_shape(f"a field {name!r}", trade)
    return {name: text(value) for name, value in trade.items() if name not in ignored}


def attempt(trade: Any, shape: Fields) -> NativeTrade | FrameError:  # noqa: ANN401
    """Read one trade of several: what is wrong with it is its own."""
    try:
        return read(trade, shape)
    except FrameError as error:
        return error


def _fits(value: Any, kind: str) -> bool:  # noqa: ANN401 - JSON may be anything
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind == INTEGER:
        return whole
    if kind == NUMBER:
        return whole or isinstance(value, Number)
    if kind == BOOLEAN:
        return isinstance(value, bool)
    return isinstance(value, str) and not isinstance(value, Number)


def pattern(shape: Fields, template: str) -> str:
    """The pattern of JSON laid out as `template`.

    In the template `<name>` stands for the value of a field, `<*>` for any string
    or number; everything else is literal. Each field becomes a capture group of
    its own name.
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
