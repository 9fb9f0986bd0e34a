"""The list of breaks that the tests catch: each has its one place still, and tests that exist."""

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
    """A line that is rewritten takes its break along; what it breaks is said in words."""
    mutants.check([mutant])
    assert mutant.wrong.count(" ") >= 3
    assert all(test.startswith("tests/") for test in mutant.tests)


def test_breaks_are_of_all_packages() -> None:
    """Of those that hold rules; each break has a name of its own."""
    assert {"/".join(mutant.file.split("/")[:2]) for mutant in LIST} == PACKAGES
    assert len({mutant.name for mutant in LIST}) == len(LIST)


GOOD: Final = Mutant(
    "none", "tools/mutants.py", "LONGEST_S: Final", "LONGEST_S", "nothing that users see",
    ("tests/test_mutants.py",),
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "why"),
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
def test_break_that_has_lost_its_place_is_told(changes: dict[str, str], why: str) -> None:
    """What is wrong stands behind its name."""
    mutants.check([GOOD])
    with pytest.raises(MutantError, match=f"^none: .*{why}"):
        mutants.check([replace(GOOD, **changes)])  # type: ignore[arg-type]  # one of them is a tuple


def test_break_may_be_told_by_a_line_beside_it() -> None:
    """Of two equal lines one is meant; only one of the lines may change."""
    text = "a = 1\nb = 2\n\nc = 1\nb = 2\n"
    beside = replace(GOOD, before="c = 1\nb = 2", after="c = 1\nb = 3")
    assert beside.apply(text) == "a = 1\nb = 2\n\nc = 1\nb = 3\n"
    with pytest.raises(MutantError, match="changes one line"):
        replace(beside, after="c = 2\nb = 3").apply(text)


def test_list_names_files_of_the_tree() -> None:
    """As the tool finds them, wherever it is called."""
    assert ROOT.joinpath("tools", "mutants.py").is_file()
    assert not any(mutant.file.startswith("/") for mutant in LIST)
