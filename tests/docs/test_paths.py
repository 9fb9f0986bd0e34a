"""Every file, module and heading that documentation or a docstring names exists."""

import ast
import importlib
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.docs.commands import PAGES
from tests.support.processes import ROOT

NOT_OURS: Final = {
    "dist/": "made by `make wheel`",
    "catalog.db": "a file of an archive",
    "data/cold/catalog.db": "a file of an archive",
    "metadata/00042-….metadata.json": "a file of an archive",
    "pyiceberg.catalog.sql": "a module of PyIceberg",
    ".metadata.json": "a file of an archive",
    "spark.sql": "settings of Spark",
    "warehouse/": "a folder of an archive",
    "docs/integrations/okx.md": "a page of a client library",
    "x.csv": "a file of a user",
    "2026-03-01.json": "a manifest of an archive",
    "compose.override.yaml": "written by whoever deploys",
    "data/last.json": "written by a run, never committed",
    "served_at.json": "written by a run into the directory of its database",
    "manifests/": "a folder of an archive",
    "manifests/2026-03-01.json": "a manifest of an archive",
    "mismatch.json": "a command's output",
    "NN_name.sql": "the form of a name",
    "ohlc.json": "a file of an exchange",
    "silver/trades/metadata/00042-1c6d.metadata.json": "a file of an archive",
    "verifier.py": "written by a reader",
}
"""Paths that no file of the repository has, and what they are."""

FOLDERS: Final = (
    "bench", "candlewax", "clickhouse", "dataflows", "deploy", "docs", "examples", "tests", "tools",
)  # fmt: skip

_PATH: Final = re.compile(
    r"(?<![\w./:@-])((?:[\w.<>*{},-]+/)*[\w.<>*{},-]+\.(?:py|sql|js|css|md|toml|yml|yaml|json|sh|xml))"
    r"(?![\w/])"
)
_FOLDER: Final = re.compile(r"(?<=`)((?:[\w-]+/)+)(?=`)")
_MODULE: Final = re.compile(
    r"(?<![\w./:-])((?:candlewax|dataflows|bench|tests)(?:\.[A-Za-z_]\w*)+)"
)
_LINK: Final = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


class Mention(NamedTuple):
    """A name in a text, and its place."""

    file: Path
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.name}"


def _sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def _prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the docstrings, attribute docstrings and comments of a module, with their lines."""
    text = path.read_text("utf-8")
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(said))):
                yield node.lineno, said
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def _read() -> Iterator[tuple[Path, int, str]]:
    for page in [*PAGES, ROOT / "Makefile"]:
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
            yield page, number, line
    for path in _sources():
        for number, text in _prose(path):
            yield path, number, text


TEXTS: Final = tuple(_read())


def _find(pattern: re.Pattern[str]) -> list[Mention]:
    return [
        Mention(path, line, match.group(1))
        for path, line, text in TEXTS
        for match in pattern.finditer(text)
    ]


def _spelled(name: str) -> list[str]:
    """Return the patterns of a path: braces are alternatives, `<name>` stands for any text."""
    if braces := re.search(r"\{([^{}]*)\}", name):
        return [
            spelled
            for one in braces.group(1).split(",")
            for spelled in _spelled(name[: braces.start()] + one + name[braces.end() :])
        ]
    return [re.sub(r"<[^<>]*>", "*", name).strip("{},")]


FILES: Final = frozenset(
    path.name for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")
) | {path.name for path in ROOT.iterdir()}


def _exists(mention: Mention, pattern: str) -> bool:
    """Return whether a path exists from the repository, the package, or the file that names it.

    A name without a folder may stand anywhere: the sentence around it says where.
    """
    if "/" not in pattern and "*" not in pattern:
        return pattern in FILES
    bases = (ROOT, ROOT / "candlewax", mention.file.parent)
    if "/" not in pattern:
        return any(next(base.rglob(pattern), None) for base in bases)
    return any(next(base.glob(pattern), None) for base in bases)


def test_every_path_that_is_named_exists() -> None:
    """In pages, docstrings, comments and the Makefile."""
    missing = [
        str(mention)
        for mention in _find(_PATH) + _find(_FOLDER)
        if mention.name not in NOT_OURS
        if not all(_exists(mention, pattern) for pattern in _spelled(mention.name))
    ]
    assert missing == [], "mend these, or say in NOT_OURS what they are"


def _resolves(name: str) -> bool:
    """Return whether a dotted name is a module or something that a module holds."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[end:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


def test_every_module_that_is_named_exists() -> None:
    """Dotted names of ours, as `candlewax.exchanges.binance`."""
    names = {mention.name: mention for mention in _find(_MODULE)}
    assert [str(names[name]) for name in sorted(names) if not _resolves(name)] == []


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file, and to a heading in it where one is named."""
    for target, anchor in _LINK.findall(page.read_text("utf-8")):
        path = (page.parent / target) if target else page
        assert path.exists(), f"{page.name} links to {target}, which is not there"
        if anchor:
            assert anchor in _anchors(path), f"{page.name}: {path.name} has no heading #{anchor}"


def test_names_are_seen() -> None:
    """A pattern that finds nothing would pass everything."""
    paths = {mention.name for mention in _find(_PATH)}
    assert {"docs/guarantees.md", "tests/dataflows/test_ohlcv.py"} & paths
    assert len(paths) > 50
    assert len(_find(_MODULE)) > 5
    assert _spelled("a/{b,c}/<x>_rest.py") == ["a/b/*_rest.py", "a/c/*_rest.py"]
    assert not _exists(Mention(ROOT / "README.md", 1, ""), "candlewax/no/such.py")
    assert not _resolves("candlewax.clickhouse.writer.Nothing")
