"""What Prometheus is told."""

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


def shown(tally: Counters, **more: object) -> list[str]:
    """The lines of all samples."""
    registry = CollectorRegistry()
    registry.register(MetricsCollector(tally, **more))  # type: ignore[arg-type]
    text = generate_latest(registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_counts_are_told_by_their_labels() -> None:
    """Words where the tables hold numbers."""
    tally = Counters()
    tally.increment(3, "frames", "binance", "1")
    tally.increment(2, "frames", "kraken")
    tally.increment(1, "dead_letters", "binance", "2", "bad_json")
    tally.increment(4, "connections", "binance", "connected")
    tally.increment(9, "something else", "x")
    lines = shown(tally)
    assert 'candlewax_frames_total{exchange="binance",kind="trade"} 3.0' in lines
    assert 'candlewax_frames_total{exchange="kraken",kind=""} 2.0' in lines
    letter = 'candlewax_dead_letters_total{exchange="binance",reason="bad_json",scope="frame"} 1.0'
    assert letter in lines
    event = 'candlewax_connection_events_total{event="connected",exchange="binance"} 4.0'
    assert event in lines
    assert not [line for line in lines if " 9.0" in line]


def test_lag_and_undelivered_messages_are_asked_for() -> None:
    """When Prometheus asks, not before."""
    lines = shown(Counters(), lags=[lambda: {("t", 1): 7}], undelivered=[lambda: 2, lambda: 3])
    assert 'candlewax_consumer_lag{partition="1",topic="t"} 7.0' in lines
    assert "candlewax_undelivered_messages 5.0" in lines


def test_connections_are_told() -> None:
    """How many are wanted, how many stand, and how many were made again."""
    feeds = ConnectionStatus()
    hear = feeds.register("kraken", "kraken-0")
    for event in ("connected", "disconnected", "connected"):
        hear(event)
    feeds.register("kraken", "kraken-1")
    lines = shown(Counters(), connection_status=feeds)
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


def test_the_last_trade_of_each_listed_symbol_is_told() -> None:
    """The latest of its candles; also when they are no longer kept. No other symbol's."""
    tally = Counters()
    registry = CollectorRegistry()
    registry.register(MetricsCollector(tally, symbols={"kraken": ["BTC/USD", "ETH/USD"]}))
    tally.candles["kraken"] = candles(("BTC/USD", 60), ("BTC/USD", 75), ("NEW/USD", 80))

    def told() -> dict[str, float]:
        return {
            sample.labels["symbol"]: sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == "candlewax_last_trade_timestamp_seconds"
        }

    assert told() == {"BTC/USD": 75}
    tally.candles["kraken"] = candles(("ETH/USD", 90))
    assert told() == {"BTC/USD": 75, "ETH/USD": 90}


def test_symbols_have_an_end() -> None:
    """However many a file lists, and however often one is listed by another name."""
    names = [f"S{n}" for n in range(2 * MAX_SYMBOLS)]
    tally = Counters()
    tally.candles["kraken"] = candles(*((name, 60) for name in names))
    lines = shown(tally, symbols={"kraken": names})
    told = [line for line in lines if line.startswith("candlewax_last_trade_timestamp_seconds")]
    assert len(told) == MAX_SYMBOLS


class Described(NamedTuple):
    """What Prometheus is told of a metric beside its values."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def families() -> list[Described]:
    """All metrics of ours that any process may tell of. Nobody but the library knows them."""
    for module in pkgutil.walk_packages(candlewax.__path__, "candlewax."):
        importlib.import_module(module.name)
    kept = {
        collector
        for collector in REGISTRY._collector_to_names  # noqa: SLF001
        if isinstance(collector, MetricWrapperBase)
    }
    found = [
        Described(family.name, family.type, tuple(collector._labelnames), family.documentation)  # noqa: SLF001
        for collector in kept
        for family in collector.describe()
    ]
    asked: list[Any] = [*MetricsCollector(Counters()).collect(), *CrossCheckMetrics().collect()]
    found += [
        Described(f.name, f.type, tuple(getattr(f, "_labelnames", ())), f.documentation)
        for f in asked
    ]
    return sorted(family for family in found if family.name.startswith("candlewax_"))


def described() -> str:
    """The table that docs/metrics.md shows."""
    lines = ["| metric | kind | labels | |", "|---|---|---|---|"]
    for name, kind, labels, text in families():
        named = f"`{name}_total`" if kind == "counter" else f"`{name}`"
        lines.append(f"| {named} | {kind} | {', '.join(f'`{n}`' for n in labels)} | {text} |")
    return "\n".join(lines)


def test_every_metric_is_described() -> None:
    """In docs/metrics.md, with its kind, its labels and what it is: this table and no other."""
    page = DOCS.read_text("utf-8")
    begin = page.index("| metric | kind |")
    assert page[begin:].partition("\n\n")[0].strip() == described()


def test_names_follow_the_rules() -> None:
    """Prometheus: metric and label names, "Metric names": a prefix, base units, no abbreviation
    of them, and `_total` for what only grows.
    """
    for name, kind, _, text in families():
        assert re.fullmatch(r"candlewax_[a-z]+(_[a-z]+)*", name), name
        assert not re.search(r"_(ms|us|ns|sec|minutes|kb|mb|count|total)(_|$)", name), name
        assert text.endswith("."), name
        if kind == "histogram":
            assert re.search(r"_(seconds|rows|bytes)$", name), name
