"""What Prometheus is told."""

import socket
import time
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from candlewax import metrics
from candlewax.metrics import Counted
from candlewax.tally import Tally

DOCS = Path(__file__).parents[1] / "docs" / "operating.md"


def shown(tally: Tally, **more: list[object]) -> list[str]:
    """The lines of all samples."""
    registry = CollectorRegistry()
    registry.register(Counted(tally, **more))  # type: ignore[arg-type]  # lists of callables
    text = generate_latest(registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_counts_are_told_by_their_labels() -> None:
    """Words where the tables hold numbers."""
    tally = Tally()
    tally.add(3, "frames", "binance", "1")
    tally.add(2, "frames", "kraken")
    tally.add(1, "dead_letters", "binance", "2", "bad_json")
    tally.add(4, "connections", "binance", "connected")
    tally.add(9, "something else", "x")
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
    lines = shown(Tally(), lags=[lambda: {("t", 1): 7}], waiting=[lambda: 2, lambda: 3])
    assert 'candlewax_consumer_lag{partition="1",topic="t"} 7.0' in lines
    assert "candlewax_undelivered_messages 5.0" in lines


def test_metrics_are_served_where_they_are_wanted() -> None:
    """With the time of the last commit, which is now at the start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = time.time()
    server, thread = metrics.serve(Counted(Tally()), port, "127.0.0.1")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    (line,) = [
        line
        for line in text.splitlines()
        if line.startswith("candlewax_last_commit_timestamp_seconds ")
    ]
    assert float(line.split()[1]) >= before


def test_a_port_in_use_is_an_error() -> None:
    """Nobody should believe that metrics are served."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            metrics.serve(Counted(Tally()), port, "127.0.0.1")


def test_every_metric_is_described() -> None:
    """By its name."""
    registry = CollectorRegistry()
    registry.register(Counted(Tally()))
    names = {family.name for family in registry.collect()}
    names |= {"candlewax_sink_rows", "candlewax_sink_seconds"}
    names |= {"candlewax_received_to_written_seconds", "candlewax_last_commit_timestamp_seconds"}
    text = DOCS.read_text("utf-8")
    assert [name for name in sorted(names) if name not in text] == []
