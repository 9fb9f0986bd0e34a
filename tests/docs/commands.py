"""Commands and statements of the documentation, as a reader would copy them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.processes import ROOT

PAGES: Final = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "exchanges").glob("*.md")),
    *sorted((ROOT / "docs" / "runbooks").glob("*.md")),
]

PROGRAMS: Final = frozenset(
    {
        "candlewax", "cat", "curl", "deploy/run.sh", "docker", "echo", "export", "issues", "make",
        "mkdir", "pip", "pipx", "promtool", "python", "sh", "uvx",
    }
)  # fmt: skip
"""First words by which a line is known as a command."""

_SPAN: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_SETTING: Final = re.compile(r"[A-Z_]+=\S*$")


@dataclass(frozen=True)
class Command:
    """One command or statement, and its place."""

    page: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"

    @property
    def parts(self) -> list[list[str]]:
        """Return the words of each command of a line, as a shell would see them, without
        settings before the program and without the file that takes its output.
        """
        reader = shlex.shlex(self.text, posix=True, punctuation_chars=True)
        reader.whitespace_split = True
        parts: list[list[str]] = [[]]
        for word in reader:
            if word in {"|", "&&", ";", ">"}:
                parts.append(["file"] if word == ">" else [])
            elif parts[-1] or not _SETTING.match(word):
                parts[-1].append(word)
        return [part for part in parts if part and part[0] != "file"]

    @property
    def words(self) -> list[str]:
        """Return the words of the first command of a line; that of docker's, if it runs ours."""
        words = self.parts[0] if self.parts else []
        return _inner(words)


def _inner(words: list[str]) -> list[str]:
    if words[:3] == ["docker", "compose", "exec"] and words[4:5] in (["candlewax"], ["python"]):
        return words[4:]
    if words[:5] == ["docker", "compose", "run", "--rm", "--entrypoint"]:
        return [words[5], *words[7:]]
    return words


@dataclass(frozen=True)
class Found:
    """Blocks of code by their kind; `others` hold lines that are none of these."""

    commands: list[Command]
    statements: list[Command]
    programs: list[Command]
    others: list[Command]


def program(text: str) -> str:
    """Return the program of a command without its folder, or an empty text."""
    try:
        words = Command("", 0, text).words
    except ValueError:  # quotes that are not in pairs: no command
        return ""
    return words[0].removeprefix(".venv/bin/") if words else ""


def read() -> Found:
    """Find all of them, in blocks and in spans of code."""
    found = Found([], [], [], [])
    for page in PAGES:
        name, text = str(page.relative_to(ROOT)), page.read_text("utf-8")
        for line, block in _blocks(text):
            _sort(found, name, line, block)
        for number, prose in enumerate(text.splitlines(), 1):
            for span in _SPAN.findall("" if prose.startswith("    ") else prose):
                if program(span) in PROGRAMS and " " in span:
                    found.commands.append(Command(name, number, span))
                elif span.startswith("SELECT "):
                    found.statements.append(Command(name, number, span))
    return found


def _sort(found: Found, page: str, line: int, block: list[str]) -> None:
    text = "\n".join(block)
    if re.match(r"SELECT|WITH", text):
        # Statements stand apart by an empty line.
        found.statements.extend(
            Command(page, line, part) for part in re.split(r"\n\s*\n", text) if part.strip()
        )
        return
    if re.match(r"import |from ", text):
        found.programs.append(Command(page, line, text))
        return
    for number, joined in _joined(line, block):
        if program(joined) in PROGRAMS:
            found.commands.append(Command(page, number, joined))
        elif joined.strip():
            found.others.append(Command(page, number, joined))


def _joined(line: int, block: list[str]) -> Iterator[tuple[int, str]]:
    """Give lines with those that a backslash continues."""
    begun, text = line, ""
    for number, one in enumerate(block, line):
        begun = begun if text else number
        text += one
        if text.endswith("\\"):
            text = text[:-1]
            continue
        yield begun, text
        text = ""


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Give indented and fenced blocks, with their first line's number."""
    lines = text.splitlines()
    number = 0
    block: list[str]
    while number < len(lines):
        begun = number
        if lines[number].lstrip().startswith("```"):
            number += 1
            while number < len(lines) and not lines[number].lstrip().startswith("```"):
                number += 1
            yield begun + 2, [line.strip() for line in lines[begun + 1 : number]]
        elif lines[number].startswith("    ") and (not begun or not lines[begun - 1].strip()):
            block = []
            while number < len(lines) and (
                lines[number].startswith("    ")
                or (not lines[number].strip() and _goes_on(lines, number))
            ):
                block.append(lines[number])
                number += 1
            indent = min(len(one) - len(one.lstrip()) for one in block if one.strip())
            yield begun + 1, [one[indent:] for one in block]
            continue
        number += 1


def _goes_on(lines: list[str], number: int) -> bool:
    return number + 1 < len(lines) and lines[number + 1].startswith("    ")


def is_page(path: str) -> bool:
    """Tell whether a path names a file of the project."""
    return (ROOT / Path(path)).exists()
