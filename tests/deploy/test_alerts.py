"""The alert rules: each fires and clears, and says what to do."""

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


def need(program: str) -> str:
    """Where a program is; skips, or fails where tests may not be skipped, without it."""
    found = shutil.which(program)
    if found is None:
        why = f"no {program} here; Debian has it in its package prometheus"
        if os.environ.get("CANDLEWAX_TEST_REQUIRED"):
            pytest.fail(why)
        pytest.skip(why)
    return found


def promtool(*arguments: str) -> None:
    answer = subprocess.run(
        [need("promtool"), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_configuration_is_prometheus_s() -> None:
    """Prometheus can read it, and the rules with it."""
    promtool("check", "config", str(FOLDER / "prometheus.yml"))


def test_rules_do_what_their_cases_say() -> None:
    """Each fires when it should, not before, and clears."""
    promtool("test", "rules", "tests/deploy/alerts_test.yml")


@each_rule
def test_each_rule_has_cases(rule: dict[str, Any]) -> None:
    """In which it fires, and in which it does so no longer."""
    seen = [
        bool(case["exp_alerts"])
        for test in CASES["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == rule["alert"]
    ]
    assert True in seen
    assert seen[-1] is False


@each_rule
def test_each_rule_is_complete(rule: dict[str, Any]) -> None:
    """It says how urgent it is, in one line what is wrong, and where to read on."""
    assert rule["alert"].startswith("Candlewax")
    assert rule["labels"]["severity"] in {"page", "warn"}
    assert set(rule["annotations"]) == {"summary", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"


def test_rules_are_about_metrics_there_are() -> None:
    """A rule about a metric that was renamed never fires."""
    known = {name + ("_total" if kind == "counter" else "") for name, kind, *_ in families()}
    named = {name for rule in RULES for name in re.findall(r"candlewax_\w+", rule["expr"])}
    assert named <= known


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    """Named as the alert is."""
    assert {page.stem for page in PAGES.iterdir()} == {rule["alert"] for rule in RULES}


@each_rule
def test_a_page_answers_four_questions(rule: dict[str, Any]) -> None:
    """Its meaning, checks, actions, and how to see that it is over."""
    text = (PAGES / f"{rule['alert']}.md").read_text("utf-8")
    assert text.startswith(f"# {rule['alert']}\n")
    asked = ("Meaning.", "Checks.", "Actions.", "End.")
    assert re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE) == list(asked)
    linked = re.findall(r"\]\(([^)#]+)", text)
    assert all((PAGES / path).exists() for path in linked)
