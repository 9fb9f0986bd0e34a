"""Findings about a running process, from what it answers by HTTP."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import urllib3
from prometheus_client.parser import text_string_to_metric_families

from candlewax.cli.findings import NOTE, OK, WRONG, Finding

_TIMEOUT_S: Final = 5.0
"""Seconds to wait for an answer."""

_WELL: Final = frozenset({"live", "rotating", "ended"})
"""States of a connection that need no attention."""

_LAG: Final = "candlewax_consumer_lag"


def read_health(url: str) -> dict[str, Any] | None:
    """Return what a page says of its feeds; None if it does not answer."""
    answer = _get(f"{url}/api/v1/health")
    if not answer or answer[0] != 200:
        return None
    try:
        content = json.loads(answer[1])
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def describe(url: str, health: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Describe the process of a page, and the connections of each exchange."""
    if health is None:
        yield Finding(WRONG, "process", f"{url} does not answer")
        return
    state = health.get("status")
    rate, delays = health.get("trades_per_second"), health.get("received_to_stored_ms") or {}
    text = f"{url}: {state}, {rate} trades a second"
    if (delay := delays.get("p99")) is not None:
        text += f"; 99 of 100 are stored within {delay} ms"
    yield Finding({"live": OK, "ended": NOTE}.get(str(state), WRONG), "process", text)
    states: dict[str, Counter[str]] = {}
    for feed in health.get("feeds") or ():
        states.setdefault(str(feed.get("exchange")), Counter())[str(feed.get("state"))] += 1
    for exchange, counts in sorted(states.items()):
        parts = ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
        well = counts.keys() <= _WELL
        yield Finding(OK if well else WRONG, "feed", f"{exchange}: connections: {parts}")


def describe_metrics(address: str, port: int) -> Iterator[Finding]:
    """Describe readiness and lag of the process that serves metrics there."""
    base = f"http://{f'[{address}]' if ':' in address else address}:{port}"
    ready = _get(f"{base}/readyz")
    if not ready:
        yield Finding(WRONG, "ready", f"{base} (CANDLEWAX_METRICS_PORT) does not answer")
        return
    try:
        checks = json.loads(ready[1])["checks"]
        problems = [f"{name}: {text}" for name, text in checks.items() if text != "ok"]
    except (ValueError, KeyError, AttributeError):
        yield Finding(WRONG, "ready", f"{base}/readyz is not an answer of candlewax")
        return
    is_ready = ready[0] == 200
    text = f"{base}: " + ("; ".join(problems) or ("ready" if is_ready else "ends after a failure"))
    yield Finding(OK if is_ready else WRONG, "ready", text)
    metrics = _get(f"{base}/metrics")
    if metrics:
        for topic, count in sorted(_lags(metrics[1]).items()):
            yield Finding(OK, "lag", f"{topic}: {count:,} messages are not read yet")


def _lags(text: str) -> dict[str, int]:
    lags: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples if family.name == _LAG else ():
            lags[sample.labels["topic"]] += int(sample.value)
    return dict(lags)


def _get(url: str) -> tuple[int, str] | None:
    """Return status and text of an answer; None if there is none."""
    pool = urllib3.PoolManager(retries=False)
    try:
        answer = pool.request("GET", url, timeout=_TIMEOUT_S, redirect=False)
        return answer.status, answer.data.decode("utf-8", "replace")
    except (urllib3.exceptions.HTTPError, OSError):
        return None
    finally:
        pool.clear()
