"""The metrics that Prometheus reads."""

import importlib
import pkgutil
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

import candlewax
from candlewax.core.candles.combine import STATE
from candlewax.runtime.connection_status import ConnectionStatus
from candlewax.runtime.counters import Counters
from candlewax.runtime.metrics import MAX_SYMBOLS, MetricsCollector
from candlewax.verification.cross_check_metrics import CrossCheckMetrics

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


def sample_lines(counters: Counters, **more: object) -> list[str]:
    """Return the lines of all samples."""
    registry = CollectorRegistry()
    registry.register(MetricsCollector(counters, **more))  # type: ignore[arg-type]
    text = generate_latest(registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_counters_are_exposed_with_their_labels() -> None:
    """As words where the tables hold numbers. Unknown counters are omitted."""
    counters = Counters()
    counters.increment(3, "frames", "binance", "1")
    counters.increment(2, "frames", "kraken")
    counters.increment(1, "dead_letters", "binance", "2", "bad_json")
    counters.increment(4, "connections", "binance", "connected")
    counters.increment(9, "something else", "x")
    lines = sample_lines(counters)
    assert 'candlewax_frames_total{exchange="binance",kind="trade"} 3.0' in lines
    assert 'candlewax_frames_total{exchange="kraken",kind=""} 2.0' in lines
    letter = 'candlewax_dead_letters_total{exchange="binance",reason="bad_json",scope="frame"} 1.0'
    assert letter in lines
    event = 'candlewax_connection_events_total{event="connected",exchange="binance"} 4.0'
    assert event in lines
    assert not [line for line in lines if " 9.0" in line]


def test_lag_and_undelivered_messages_are_read_at_each_scrape() -> None:
    """From the functions of sources and producers."""
    lines = sample_lines(
        Counters(), lags=[lambda: {("t", 1): 7}], undelivered=[lambda: 2, lambda: 3]
    )
    assert 'candlewax_consumer_lag{partition="1",topic="t"} 7.0' in lines
    assert "candlewax_undelivered_messages 5.0" in lines


def test_connections_are_counted() -> None:
    """Wanted ones, open ones, and reconnects."""
    feeds = ConnectionStatus()
    report_event = feeds.register("kraken", "kraken-0")
    for event in ("connected", "disconnected", "connected"):
        report_event(event)
    feeds.register("kraken", "kraken-1")
    lines = sample_lines(Counters(), connection_status=feeds)
    assert 'candlewax_connections_wanted{exchange="kraken"} 2.0' in lines
    assert 'candlewax_connections_open{exchange="kraken"} 1.0' in lines
    assert 'candlewax_reconnects_total{exchange="kraken"} 1.0' in lines


def candles(*closes: tuple[str, int]) -> pl.DataFrame:
    """Candles by symbol and the second of their last trade."""
    rows = [
        {"symbol": symbol, "close_time": datetime.fromtimestamp(second, UTC)}
        for symbol, second in closes
    ]
    return pl.DataFrame(rows, schema={name: STATE[name] for name in ("symbol", "close_time")})


def test_last_trade_of_each_listed_symbol_is_exposed() -> None:
    """From the latest of its candles, also after they are dropped. Other symbols have none."""
    counters = Counters()
    registry = CollectorRegistry()
    registry.register(MetricsCollector(counters, symbols={"kraken": ["BTC/USD", "ETH/USD"]}))
    counters.candles["kraken", 0] = candles(("BTC/USD", 60), ("BTC/USD", 75), ("NEW/USD", 80))

    def last_trades() -> dict[str, float]:
        return {
            sample.labels["symbol"]: sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == "candlewax_last_trade_timestamp_seconds"
        }

    assert last_trades() == {"BTC/USD": 75}
    counters.candles["kraken", 0] = candles(("ETH/USD", 90))
    assert last_trades() == {"BTC/USD": 75, "ETH/USD": 90}


def test_number_of_symbols_is_bounded() -> None:
    """However many symbols the instruments list."""
    names = [f"S{n}" for n in range(2 * MAX_SYMBOLS)]
    counters = Counters()
    counters.candles["kraken", 0] = candles(*((name, 60) for name in names))
    lines = sample_lines(counters, symbols={"kraken": names})
    exposed = [line for line in lines if line.startswith("candlewax_last_trade_timestamp_seconds")]
    assert len(exposed) == MAX_SYMBOLS


class Described(NamedTuple):
    """Name, kind, labels and help text of a metric."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def families() -> list[Described]:
    """Return all our metrics of any process, by the registry of the library."""
    for module in pkgutil.walk_packages(candlewax.__path__, "candlewax."):
        importlib.import_module(module.name)
    kept = {
        collector
        for collector in REGISTRY._collector_to_names  # noqa: SLF001
        if isinstance(collector, MetricWrapperBase)
    }
    descriptions = [
        Described(family.name, family.type, tuple(collector._labelnames), family.documentation)  # noqa: SLF001
        for collector in kept
        for family in collector.describe()
    ]
    collected: list[Any] = [*MetricsCollector(Counters()).collect(), *CrossCheckMetrics().collect()]
    descriptions += [
        Described(f.name, f.type, tuple(getattr(f, "_labelnames", ())), f.documentation)
        for f in collected
    ]
    return sorted(family for family in descriptions if family.name.startswith("candlewax_"))


def documented_table() -> str:
    """Return the table of docs/metrics.md."""
    lines = ["| metric | kind | labels | |", "|---|---|---|---|"]
    for name, kind, labels, text in families():
        named = f"`{name}_total`" if kind == "counter" else f"`{name}`"
        lines.append(f"| {named} | {kind} | {', '.join(f'`{n}`' for n in labels)} | {text} |")
    return "\n".join(lines)


def test_every_metric_is_documented() -> None:
    """In docs/metrics.md, with kind, labels and help text."""
    page = DOCS.read_text("utf-8")
    begin = page.index("| metric | kind |")
    assert page[begin:].partition("\n\n")[0].strip() == documented_table()


def test_metric_names_follow_the_rules_of_prometheus() -> None:
    """From "Metric and label naming": a prefix, unabbreviated base units, `_total` for counters."""
    for name, kind, _, text in families():
        assert re.fullmatch(r"candlewax_[a-z]+(_[a-z]+)*", name), name
        assert not re.search(r"_(ms|us|ns|sec|minutes|kb|mb|count|total)(_|$)", name), name
        assert text.endswith("."), name
        if kind == "histogram":
            assert re.search(r"_(seconds|rows|bytes)$", name), name
