"""The tables of docs/architecture.md say what the code does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from candlewax.clickhouse.block_store import ORDER
from tests.support.processes import ROOT

PAGE: Final = (ROOT / "docs" / "architecture.md").read_text("utf-8")

PACKAGE: Final = ROOT / "candlewax"


def test_table_of_bytewax_names_the_modules_that_import_it() -> None:
    """All of them: they are what a port would touch."""
    named = {
        name
        for cells in _cells(_section("Bytewax"))
        for name in re.findall(r"`(\S+\.py)`", cells[0])
    }
    importing = {
        str(path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else ROOT))
        for folder in (PACKAGE, ROOT / "dataflows")
        for path in folder.rglob("*.py")
        if re.search(r"^\s*(from|import) bytewax\b", path.read_text("utf-8"), re.MULTILINE)
    }
    assert named == importing


def _section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def _cells(section: str) -> list[list[str]]:
    """Return the rows of the section's table, without its head."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def _name(call: ast.Call) -> str | None:
    """Return the name that a thread is started with; `<...>` stands for what is filled in."""
    if ast.unparse(call.func) == "threading.Thread":
        given = next((word.value for word in call.keywords if word.arg == "name"), None)
        if isinstance(given, ast.Name):  # of a worker, which is told its name
            return None
    elif ast.unparse(call.func) == "WorkerThread":
        given = call.args[0]
    else:
        return None
    assert given is not None, f"line {call.lineno}: a thread without a name"
    text = ast.unparse(given).removeprefix("f").strip("'\"")
    return re.sub(r"\{[^}]*\}", "<exchange>", text)


def _threads() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and (name := _name(node)):
                yield name, path


def test_threads_table_names_every_thread_and_its_file() -> None:
    """Those that the code starts, and no others."""
    told = {
        name.strip("`"): PACKAGE / place.strip("`")
        for name, place, *_ in _cells(_section("Threads"))
    }
    assert told == dict(_threads())


def test_every_thread_is_a_daemon() -> None:
    """The end of a process waits for none of them."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "threading.Thread":
                words = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert words.get("daemon") == "True", f"{path}:{node.lineno}"


def test_order_of_storing_is_the_writers() -> None:
    """Table by table; the revisions of candles come just before the candles."""
    told = [name for row in _cells(_section("Order of storing"))
            for name in re.findall(r"`(\w+)`", row[1])]  # fmt: skip
    told.remove("ohlcv_revisions")
    assert tuple(told) == ORDER


def test_picture_shows_every_package() -> None:
    """It shows no other."""
    shown = re.findall(r"│ (\w+)  ", _section("Packages"))
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert sorted(shown) == sorted(packages | {"dataflows"})


def test_way_of_a_trade_has_ten_steps() -> None:
    """Each names at least one file; tests/docs/test_paths.py knows that they exist."""
    steps = re.split(r"\n(?=\d+\. )", _section("The way of one trade"))[1:]
    assert len(steps) == 10
    assert all(re.search(r"`\w+/[\w/]+\.py`", step) for step in steps)


def test_table_of_changes_answers_the_everyday_questions() -> None:
    """The table says for each of these what to change."""
    rows = {row[0] for row in _cells(_section("Where to change what"))}
    wanted = {"add an exchange", "add a timeframe", "add a metric", "change the lateness"}
    assert wanted <= rows


def _files_with(pattern: str) -> set[str]:
    """Return the files that hold a text, as the page names them."""
    kinds = {".py", ".sql", ".js", ".html", ".json"}
    paths = [
        path
        for folder in ("candlewax", "clickhouse", "deploy")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in kinds and re.search(pattern, path.read_text("utf-8"))
    ]
    return {str(path.relative_to(ROOT)).removeprefix("candlewax/") for path in paths}


@pytest.mark.parametrize(
    ("change", "pattern", "others"),
    [
        ("add a timeframe", r"\b30m\b|\b1800\b", "exchanges/"),
        ("add a column to candles", r"\bbuy_quote_volume\b", "web/"),
    ],
)
def test_row_names_every_file_that_knows_the_thing(change: str, pattern: str, others: str) -> None:
    """A timeframe or a column that is there already shows where one more belongs."""
    row = next(row for row in _cells(_section("Where to change what")) if row[0] == change)
    named = set(re.findall(r"`([\w./-]+\.\w+)`", " ".join(row)))
    found = _files_with(pattern)
    assert len(found) > 9
    assert {path for path in found if not path.startswith(others)} <= named
    assert {path for path in found if path.startswith("web/")} <= _named_in_table()


def _named_in_table() -> set[str]:
    return set(re.findall(r"`([\w./-]+\.\w+)`", _section("Where to change what")))
