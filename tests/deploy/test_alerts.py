"""The alert rules: each fires and clears, and names its runbook."""

import os
import re
import shutil
import subprocess
from typing import Any

import pytest

from tests.deploy.reading import ROOT, read
from tests.runtime.test_metrics import families

FOLDER = ROOT / "deploy" / "prometheus"
PAGES = ROOT / "docs" / "runbooks"
RULES: list[dict[str, Any]] = [
    rule for group in read(FOLDER / "alerts.yml")["groups"] for rule in group["rules"]
]
CASES = read(ROOT / "tests" / "deploy" / "alerts_test.yml")

each_rule = pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])


def need(program: str, package: str = "prometheus") -> str:
    """Return the path of a program, which a package of Debian has.

    Without it skip the test, or fail if CANDLEWAX_TEST_REQUIRED is set.
    """
    path = shutil.which(program)
    if path is None:
        reason = f"no {program} here; Debian has it in its package {package}"
        if os.environ.get("CANDLEWAX_TEST_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def promtool(*arguments: str) -> None:
    answer = subprocess.run(
        [need("promtool"), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_prometheus_accepts_its_configuration() -> None:
    """And the alert rules that it includes."""
    promtool("check", "config", str(FOLDER / "prometheus.yml"))


def test_rules_fire_and_clear_as_their_cases_expect() -> None:
    """By `promtool test rules`."""
    promtool("test", "rules", "tests/deploy/alerts_test.yml")


@each_rule
def test_each_rule_has_a_case_that_fires_and_one_that_clears(rule: dict[str, Any]) -> None:
    """The last case is the one that clears."""
    fires = [
        bool(case["exp_alerts"])
        for test in CASES["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == rule["alert"]
    ]
    assert True in fires
    assert fires[-1] is False


@each_rule
def test_each_rule_has_a_severity_a_summary_and_a_runbook(rule: dict[str, Any]) -> None:
    assert rule["alert"].startswith("Candlewax")
    assert rule["labels"]["severity"] in {"page", "warn"}
    assert set(rule["annotations"]) == {"summary", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"


def test_rules_use_only_known_metrics() -> None:
    """A rule for a renamed metric would never fire."""
    known = {name + ("_total" if kind == "counter" else "") for name, kind, *_ in families()}
    named = {name for rule in RULES for name in re.findall(r"candlewax_\w+", rule["expr"])}
    assert named <= known


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    """With the same name."""
    assert {page.stem for page in PAGES.iterdir()} == {rule["alert"] for rule in RULES}


@each_rule
def test_runbook_has_its_four_sections(rule: dict[str, Any]) -> None:
    """Meaning, checks, actions and end; its links exist."""
    text = (PAGES / f"{rule['alert']}.md").read_text("utf-8")
    assert text.startswith(f"# {rule['alert']}\n")
    sections = ("Meaning.", "Checks.", "Actions.", "End.")
    assert re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE) == list(sections)
    linked = re.findall(r"\]\(([^)#]+)", text)
    assert all((PAGES / path).exists() for path in linked)
