"""The layers of the product: what each package may import, read from the sources."""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[1]

LEVELS: Final = (
    {"data", "exchanges"},
    {"core", "runtime"},
    {"clickhouse", "kafka"},
    {"feeds", "web", "cold", "client"},
    {"verification", "simulator"},
    {"pipeline"},
    {"dataflows"},
    {"cli"},
)
"""Packages, the lowest first: each imports only from lower levels and from itself."""

EVERYWHERE: Final = {"polars"}

LIBRARIES: Final = {
    "data": set[str](),
    "exchanges": {"msgspec"},
    "core": {"msgspec"},
    "runtime": {"dotenv"},
    "clickhouse": {"clickhouse_connect", "chdb", "pyarrow"},
    "kafka": {"confluent_kafka"},
    "feeds": {"bytewax", "websockets", "urllib3", "zstandard"},
    "web": {
        "clickhouse_cityhash",
        "lz4",
        "msgspec",
        "pyarrow",
        "starlette",
        "uvicorn",
        "zstandard",
    },
    "client": {"pyarrow"},
    "cold": {"clickhouse_connect", "cryptography", "pyarrow", "pyiceberg", "sqlalchemy"},
    "verification": {"clickhouse_connect", "msgspec"},
    "simulator": {"websockets", "zstandard"},
    "pipeline": {"bytewax", "rich"},
    "dataflows": {"bytewax"},
}
"""Libraries by package; `cli` may import any."""

BYTEWAX_IN: Final = {"sink.py", "source.py", "raw_sink.py"}
"""Modules of `clickhouse` and `kafka` that are parts of a dataflow."""

NO_METRICS: Final = {"core", "exchanges", "data"}
"""Packages that declare no metric."""

ONLY_FROM: Final = {"web": {"cli"}, "simulator": {"cli"}}
"""Packages that only these others import."""

EXCEPTIONS: Final = frozenset[str]()
"""Imports that break a rule today: `module imports name`."""


class Import(NamedTuple):
    """A module of the product and what it imports, by dotted path; `runs` tells whether the
    import is more than one of types.
    """

    module: str
    path: Path
    target: str
    runs: bool = True

    def __str__(self) -> str:
        return f"{self.module} imports {self.target}"


def _sources() -> Iterator[tuple[str, Path]]:
    for folder in ("candlewax", "dataflows"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES: Final = dict(_sources())


def _imports() -> Iterator[Import]:
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text("utf-8"))
        types = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            runs = id(node) not in types
            if isinstance(node, ast.Import):
                for name in node.names:
                    yield Import(module, path, name.name, runs)
            elif isinstance(node, ast.ImportFrom):
                assert node.module, f"{module}: a relative import"
                for name in node.names:
                    inner = f"{node.module}.{name.name}"
                    target = inner if inner in MODULES else node.module
                    yield Import(module, path, target, runs)


IMPORTS: Final = tuple(_imports())


def _package(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "candlewax" and len(parts) > 1 else parts[0]


def _level(package: str) -> int:
    return next(place for place, level in enumerate(LEVELS) if package in level)


def _is_ours(target: str) -> bool:
    return target.split(".", maxsplit=1)[0] in ("candlewax", "dataflows")


def _breaks_layers(one: Import) -> bool:
    """Return whether the import goes upwards, or sideways into another package."""
    source, target = _package(one.module), _package(one.target)
    if not _is_ours(one.target) or "candlewax" in (source, target) or source == target:
        return False
    only = ONLY_FROM.get(target)
    return _level(target) >= _level(source) or (only is not None and source not in only)


def _breaks_libraries(one: Import) -> bool:
    """Return whether the import is of a library that its package may not use."""
    package, library = _package(one.module), one.target.split(".")[0]
    if _is_ours(one.target) or library in sys.stdlib_module_names or library in EVERYWHERE:
        return False
    if library == "prometheus_client":
        return package in NO_METRICS
    if library == "bytewax" and package in ("clickhouse", "kafka"):
        return one.path.name not in BYTEWAX_IN
    return package in LIBRARIES and library not in LIBRARIES[package]


def _breaks_privacy(import_: Import) -> bool:
    """Return whether the import is of a module that belongs to another folder."""
    folder, _, name = import_.target.rpartition(".")
    return (
        name.startswith("_")
        and not name.startswith("__")
        and (import_.target in MODULES and MODULES[import_.target].parent != import_.path.parent)
        and bool(folder)
    )


@pytest.mark.parametrize(
    "breaks", [_breaks_layers, _breaks_libraries, _breaks_privacy], ids=lambda rule: rule.__name__
)
def test_no_import_breaks_a_rule(breaks: object) -> None:
    """Except for the listed exceptions."""
    assert callable(breaks)
    assert sorted({str(import_) for import_ in IMPORTS if breaks(import_)} - EXCEPTIONS) == []


@pytest.mark.parametrize(
    ("module", "target", "broken"),
    [
        ("candlewax.core.x", "candlewax.kafka.y", "layers"),
        ("candlewax.core.x", "candlewax.runtime.y", "layers"),
        ("candlewax.pipeline.x", "candlewax.web.y", "layers"),
        ("candlewax.exchanges.x", "candlewax.core.y", "layers"),
        ("candlewax.core.x", "bytewax.inputs", "libraries"),
        ("candlewax.core.x", "prometheus_client", "libraries"),
        ("candlewax.kafka.client", "bytewax.inputs", "libraries"),
        ("candlewax.kafka.source", "bytewax.inputs", ""),
        ("candlewax.cli.up", "candlewax.web.app", ""),
        ("candlewax.runtime.x", "prometheus_client", ""),
        ("dataflows.ohlcv", "candlewax.pipeline.builder", ""),
    ],
)
def test_rule_finds_an_import_that_breaks_it(module: str, target: str, broken: str) -> None:
    """For invented imports."""
    import_ = Import(module, Path(*module.split(".")).with_suffix(".py"), target)
    assert _breaks_layers(import_) == (broken == "layers")
    assert _breaks_libraries(import_) == (broken == "libraries")


def test_every_exception_is_needed() -> None:
    """So the list only becomes shorter."""
    rules = (_breaks_layers, _breaks_libraries, _breaks_privacy)
    broken = {str(import_) for import_ in IMPORTS if any(rule(import_) for rule in rules)}
    assert sorted(EXCEPTIONS - broken) == []


def test_every_package_has_a_level() -> None:
    """Each level names packages that exist."""
    packages = {_package(module) for module in MODULES} - {"candlewax"}
    assert packages == set[str]().union(*LEVELS)


def test_no_modules_import_each_other() -> None:
    """Directly or in a circle."""
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for import_ in IMPORTS:
        if import_.runs and import_.target in graph and import_.target != import_.module:
            graph[import_.module].add(import_.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
