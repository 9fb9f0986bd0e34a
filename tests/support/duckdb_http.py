"""DuckDB's own reader of HTTP, which it would download otherwise."""

from importlib.util import find_spec
from pathlib import Path


def httpfs() -> Path:
    """Return the file of the extension, from the package that brings it."""
    spec = find_spec("duckdb_extension_httpfs")
    assert spec
    assert spec.submodule_search_locations
    (extension,) = Path(spec.submodule_search_locations[0]).rglob("*.duckdb_extension")
    return extension
