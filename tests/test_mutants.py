"""The list of breaks that the tests must catch: each fits one place and names existing tests."""

from dataclasses import replace
from typing import Final

import pytest

from tools import mutants
from tools.mutants import ROOT, Mutant, MutantError, load

LIST: Final = load()

PACKAGES: Final = {
    "candlewax/clickhouse", "candlewax/core", "candlewax/exchanges", "candlewax/feeds",
    "candlewax/kafka", "candlewax/pipeline", "candlewax/verification", "candlewax/web",
    "clickhouse/ddl",
}  # fmt: skip


@pytest.mark.parametrize("mutant", LIST, ids=lambda mutant: mutant.name)
def test_break_has_one_place_and_tests(mutant: Mutant) -> None:
    """If a line is rewritten, its break must be too. The damage is described in words."""
    mutants.check([mutant])
    assert mutant.wrong.count(" ") >= 3
    assert all(test.startswith("tests/") for test in mutant.tests)


def test_each_package_with_rules_has_breaks() -> None:
    """Names of breaks are unique."""
    assert {"/".join(mutant.file.split("/")[:2]) for mutant in LIST} == PACKAGES
    assert len({mutant.name for mutant in LIST}) == len(LIST)


GOOD: Final = Mutant(
    "none", "tools/mutants.py", "LONGEST_S: Final", "LONGEST_S", "nothing that users see",
    ("tests/test_mutants.py",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"before": "no such line " * 2}, "holds 0 times"),
        ({"before": "return "}, "holds .+ times"),
        ({"before": "a\nb", "after": "c\nd"}, "holds 0 times"),
        ({"after": "two\nlines"}, "changes one line"),
        ({"after": GOOD.before}, "changes one line"),
        ({"tests": ()}, "names no test"),
        ({"tests": ("tests/no_such_test.py",)}, "there is no tests/no_such_test.py"),
    ],
)  # fmt: skip
def test_invalid_break_is_refused_with_its_reason(changes: dict[str, str], reason: str) -> None:
    """The message begins with its name."""
    mutants.check([GOOD])
    with pytest.raises(MutantError, match=f"^none: .*{reason}"):
        mutants.check([replace(GOOD, **changes)])  # type: ignore[arg-type]  # one of them is a tuple


def test_second_line_selects_one_of_equal_lines() -> None:
    """Only one of the two lines may change."""
    text = "a = 1\nb = 2\n\nc = 1\nb = 2\n"
    beside = replace(GOOD, before="c = 1\nb = 2", after="c = 1\nb = 3")
    assert beside.apply(text) == "a = 1\nb = 2\n\nc = 1\nb = 3\n"
    with pytest.raises(MutantError, match="changes one line"):
        replace(beside, after="c = 2\nb = 3").apply(text)


def test_list_has_paths_relative_to_the_repository() -> None:
    """So the tool can be called from any folder."""
    assert ROOT.joinpath("tools", "mutants.py").is_file()
    assert not any(mutant.file.startswith("/") for mutant in LIST)
