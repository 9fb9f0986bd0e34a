"""A reader of the small part of YAML in which compose.yaml and deploy/ are written.

Block mappings and lists, flow mappings and lists on one line, plain and double-quoted
scalars, comments on lines of their own, anchors, aliases and `<<`. Any other syntax is an
error. Tags (`!override`) are ignored.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]

_PLAIN: Final = {"true": True, "false": False, "null": None, "~": None}
_FLOW: Final = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[\[\]{},]|[^\[\]{},"]+)')
_KEY: Final = re.compile(r"([\w.<-]+):(?: +(.*))?")
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")


def read(path: Path) -> Any:
    """Parse a file."""
    lines = [
        (len(line) - len(line.lstrip()), line.strip())
        for line in path.read_text("utf-8").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if any("\t" in text or " #" in text for _, text in lines):
        raise ValueError(f"{path}: a tab, or a comment beside something")
    reader = _Reader(lines)
    value = reader.block(0)
    if reader.lines:
        raise ValueError(f"{path}: cannot read {reader.lines[0][1]!r}")
    return value


def interpolate(value: Any, environ: Mapping[str, str]) -> Any:
    """Return the value with each `${NAME:-default}` replaced, as Compose does."""
    if isinstance(value, dict):
        return {key: interpolate(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, environ) for item in value]
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(
        lambda found: environ.get(found[1]) or (found[3] or "" if found[2] == ":-" else ""), value
    )


class _Reader:
    def __init__(self, lines: list[tuple[int, str]]) -> None:
        self.lines = lines
        self._anchors: dict[str, Any] = {}

    def block(self, indent: int) -> Any:
        if self.lines[0][1].startswith("- "):
            return self._list(indent)
        return self._mapping(indent)

    def _list(self, indent: int) -> list[Any]:
        items = []
        while self.lines and self.lines[0][0] == indent and self.lines[0][1].startswith("- "):
            text = self.lines[0][1][2:].lstrip()
            if _KEY.fullmatch(text) and text[0] not in '"[{*':
                inner = indent + len(self.lines[0][1]) - len(text)
                self.lines[0] = (inner, text)
                items.append(self._mapping(inner))
            else:
                del self.lines[0]
                items.append(self._inline(text))
        return items

    def _mapping(self, indent: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while self.lines and self.lines[0][0] == indent:
            found = _KEY.fullmatch(self.lines[0][1])
            if not found or found[1] in own:
                raise ValueError(f"cannot read {self.lines[0][1]!r}")
            del self.lines[0]
            value = self._value(found[2] or "", indent)
            if found[1] == "<<":
                merged |= value
            else:
                own[found[1]] = value
        if self.lines and self.lines[0][0] > indent:
            raise ValueError(f"cannot read {self.lines[0][1]!r}")
        return {**merged, **own}

    def _value(self, text: str, indent: int) -> Any:
        marks = re.fullmatch(r"(?:&(\S+) ?)?(?:!\w+ ?)?(.*)", text)
        assert marks
        if marks[2]:
            value = self._inline(marks[2])
        elif self.lines and self.lines[0][0] > indent:
            value = self.block(self.lines[0][0])
        else:
            value = None
        if marks[1]:
            self._anchors[marks[1]] = value
        return value

    def _inline(self, text: str) -> Any:
        if text[0] not in '[{"':
            return self._scalar(text)
        tokens = _FLOW.findall(text)
        if re.sub(r"\s", "", "".join(tokens)) != re.sub(r"\s", "", text):
            raise ValueError(f"cannot read {text!r}")
        value = self._flow(tokens)
        if tokens:
            raise ValueError(f"cannot read {text!r}")
        return value

    def _flow(self, tokens: list[str]) -> Any:
        part = tokens.pop(0)
        if part == "[":
            items = []
            while tokens[0] != "]":
                items.append(self._flow(tokens))
                self._comma(tokens, "]")
            del tokens[0]
            return items
        if part == "{":
            entries = {}
            while tokens[0] != "}":
                key, _, rest = tokens.pop(0).partition(":")
                entries[key.strip()] = (
                    self._scalar(rest.strip()) if rest.strip() else self._flow(tokens)
                )
                self._comma(tokens, "}")
            del tokens[0]
            return entries
        return json.loads(part) if part[0] == '"' else self._scalar(part.strip())

    @staticmethod
    def _comma(tokens: list[str], end: str) -> None:
        if tokens[0] == ",":
            del tokens[0]
        elif tokens[0] != end:
            raise ValueError(f"a comma is missing before {tokens[0]!r}")

    def _scalar(self, text: str) -> Any:
        if text.startswith("*"):
            return self._anchors[text[1:]]
        if text in _PLAIN:
            return _PLAIN[text]
        if re.fullmatch(r"-?\d+", text):
            return int(text)
        if re.fullmatch(r"-?\d+\.\d+", text):
            return float(text)
        if text[0] in "'\"|>&!%@`" or ": " in text:
            raise ValueError(f"cannot read {text!r}")
        return text
