"""The servers and places that the tests of the cold tier share."""

import pytest

from tests.support.cold.fixtures import object_store, place, postgres, rest_catalog

__all__ = ["object_store", "place", "postgres", "rest_catalog"]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment, and no warning that a faster planner is not installed."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")
