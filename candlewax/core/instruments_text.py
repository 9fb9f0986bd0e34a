"""Changes of an instruments file as text, which keep everything else that is written in it.

Markets of an exchange stand one a line below `[<exchange>.subscribe]` and `[<exchange>.also]`. The
result is read again and compared, so a text that cannot be changed line by line is refused.
"""

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from candlewax.core.market_facts import FIELDS

TABLES: Final = ("subscribe", "also")
"""Tables of an exchange, in the order in which they are added."""

Value = str | Mapping[str, str]
"""A market's unified symbol, or a table with it and its facts."""

Tables = Mapping[str, Mapping[str, Value]]
"""Markets by table and native symbol."""

_match_header: Final = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$").match
_is_bare: Final = re.compile(r"[A-Za-z0-9_-]+").fullmatch


class LayoutError(ValueError):
    """A file whose text cannot be changed line by line."""


def with_markets(text: str, exchange: str, markets: Tables) -> str:
    """Return the text with markets of an exchange set to these values; no other value changes.

    A market that the text has in both tables gets its value in both, as they must agree.
    A line that changes keeps its comment. New markets are added at the end of their table, and
    absent tables behind the exchange's others. Raises LayoutError.
    """
    expected = tomllib.loads(text)
    section = expected.setdefault(exchange, {})
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.replace("\r\n", "\n").split("\n")
    every = {**markets.get("also", {}), **markets.get("subscribe", {})}
    for table in TABLES:
        written = {name: every[name] for name in section.get(table, {}) if name in every}
        if values := {**markets.get(table, {}), **written}:
            section[table] = {**section.get(table, {}), **values}
            lines = _with_table(lines, exchange, table, values)
    changed = newline.join(lines)
    try:
        is_right = tomllib.loads(changed) == expected
    except tomllib.TOMLDecodeError:
        is_right = False
    if not is_right:
        raise LayoutError(
            f"cannot be changed without rewriting what you wrote: list the markets of {exchange} "
            f"one a line below [{exchange}.subscribe] and [{exchange}.also]"
        )
    return changed


def _with_table(
    lines: list[str], exchange: str, table: str, values: Mapping[str, Value]
) -> list[str]:
    begin = _find_header(lines, exchange, table)
    if begin is None:
        new = [f"[{exchange}.{table}]", *(_line(name, value) for name, value in values.items())]
        place = _end_of_exchange(lines, exchange)
        before, after = _trim(lines[:place]), lines[place:]
        return [*before, *([""] if before else []), *new, "", *after]
    end = _next_header(lines, begin + 1)
    left = dict(values)
    last = begin
    for index in range(begin + 1, end):
        found = _read_line(lines[index])
        if found is None:
            continue
        last = index
        name, value, comment = found
        if name in left and left[name] != value:
            lines = [*lines[:index], _line(name, left[name]) + comment, *lines[index + 1 :]]
        left.pop(name, None)
    added = [_line(name, value) for name, value in left.items()]
    return [*lines[: last + 1], *added, *lines[last + 1 :]]


def _header(line: str) -> list[str] | None:
    """Return the parts of a table's header; None for any other line."""
    found = _match_header(line)
    if found is None:
        return None
    return [part.strip().strip("\"'") for part in found[1].split(".")]


def _find_header(lines: list[str], exchange: str, table: str) -> int | None:
    wanted = [exchange, table]
    return next((index for index, line in enumerate(lines) if _header(line) == wanted), None)


def _next_header(lines: list[str], begin: int) -> int:
    return next(
        (index for index in range(begin, len(lines)) if _header(lines[index]) is not None),
        len(lines),
    )


def _end_of_exchange(lines: list[str], exchange: str) -> int:
    """Return where a table of an exchange is added: behind its last one, else at the end."""
    own = [index for index, line in enumerate(lines) if (_header(line) or [""])[0] == exchange]
    if not own:
        return len(lines)
    end = _next_header(lines, own[-1] + 1)
    # Comments right above the next table belong to it.
    while end < len(lines) and lines[end - 1].lstrip().startswith("#"):
        end -= 1
    return end


def _trim(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    return lines


def _read_line(line: str) -> tuple[str, Any, str] | None:
    """Return name, value and comment of a line with one whole value; None for other lines."""
    content = _loads(line)
    if not content or len(content) != 1:
        return None
    ((name, value),) = content.items()
    for index, character in enumerate(line):
        if character == "#" and _loads(line[:index]) == content:
            spaces = line[len(line[:index].rstrip()) : index]
            return name, value, spaces + line[index:]
    return name, value, ""


def _loads(line: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return None


def _line(name: str, value: Value) -> str:
    return f"{name if _is_bare(name) else _quote(name)} = {format_value(value)}"


def format_value(value: Value) -> str:
    """Return a market's value as TOML writes it on one line."""
    if isinstance(value, str):
        return _quote(value)
    fields = [f"{name} = {_quote(value[name])}" for name in FIELDS if name in value]
    return f"{{ {', '.join(fields)} }}"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
