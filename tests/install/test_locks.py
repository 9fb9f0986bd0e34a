"""The locks: what is installed to run, to build, and to test."""

import re
import tomllib
from dataclasses import replace

from packaging.requirements import Requirement

from tests.support.installed import BUILD_LOCK, LOCK, RUN_LOCK, read_lock
from tests.support.processes import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {canonical(Requirement(one).name) for one in requirements}


def test_lock_to_run_is_a_part_of_the_lock_to_test() -> None:
    """Same versions and hashes, so what runs is what was tested.

    Markers may differ: a tool may need a package where the product does not.
    """
    to_run, to_test = (
        {replace(one, marker="") for one in read_lock(path)} for path in (RUN_LOCK, LOCK)
    )
    assert to_run <= to_test


def test_lock_to_run_holds_the_product_and_its_cold_tier_and_no_tool() -> None:
    held = {one.name for one in read_lock(RUN_LOCK)}
    assert names([*PROJECT["project"]["dependencies"], *EXTRAS["cold"]]) <= held
    tools = names([*EXTRAS["dev"], *PROJECT["build-system"]["requires"], "pip"])
    assert {"pytest", "mypy", "ruff", "playwright", "hypothesis", "setuptools"} <= tools
    # The embedded engine requires pandas, which tests also use by themselves.
    assert held & tools == {"pandas"}


def test_lock_to_build_holds_what_the_build_requires() -> None:
    (one,) = read_lock(BUILD_LOCK)
    (required,) = map(Requirement, PROJECT["build-system"]["requires"])
    assert one.name == required.name
    assert required.specifier.contains(one.version)
    assert one in read_lock(LOCK)


def test_locks_name_no_address() -> None:
    for path in (LOCK, RUN_LOCK, BUILD_LOCK):
        assert "://" not in path.read_text("utf-8")


def test_each_dependency_has_an_upper_bound() -> None:
    for text in [*PROJECT["project"]["dependencies"], *EXTRAS["cold"], *EXTRAS["dev"]]:
        operators = {one.operator for one in Requirement(text).specifier}
        assert operators & {"<", "=="}, text
