"""Delivery latency: the time until the broker has acknowledged a batch."""

import threading

import pytest
from prometheus_client import REGISTRY

from candlewax.kafka.arrivals import DeliveryLatency


def latency(exchange: str) -> list[float]:
    """Return the number of delivered batches and the sum of their latencies."""
    name = "candlewax_received_to_produced_seconds"
    samples = [
        REGISTRY.get_sample_value(f"{name}_{suffix}", {"exchange": exchange})
        for suffix in ("count", "sum")
    ]
    return [value or 0 for value in samples]


class Producer:
    """A producer whose number of undelivered messages the test sets."""

    def __init__(self) -> None:
        self.undelivered = 0
        self.was_asked = threading.Event()

    def waiting(self) -> int:
        """Return the number of undelivered messages."""
        self.was_asked.set()
        return self.undelivered


def test_batch_is_delivered_once_only_later_messages_are_undelivered() -> None:
    """Its latency is counted from the receipt of its oldest frame."""
    producer, now = Producer(), [1_000.0]
    arrivals = DeliveryLatency(producer.waiting, lambda: now[0])
    producer.undelivered = 5
    arrivals.record_sent("first", 3, 999.0)
    arrivals.record_sent("second", 2, 999.5)
    arrivals.observe_delivered()
    assert latency("first") == latency("second") == [0, 0]
    # Three of five are delivered: those of the first batch.
    now[0], producer.undelivered = 1_001.0, 2
    arrivals.observe_delivered()
    assert latency("first") == [1, pytest.approx(2.0)]
    assert latency("second") == [0, 0]
    now[0], producer.undelivered = 1_001.5, 0
    arrivals.observe_delivered()
    assert latency("second") == [1, pytest.approx(2.0)]
    arrivals.observe_delivered()
    assert latency("first")[0] == latency("second")[0] == 1


def test_delivery_is_measured_in_the_background() -> None:
    """Without another call of the producer."""
    producer = Producer()
    arrivals = DeliveryLatency(producer.waiting)
    producer.undelivered = 1
    arrivals.record_sent("alone", 1, 0.0)
    producer.was_asked.clear()
    assert producer.was_asked.wait(10)
    producer.undelivered = 0
    for _ in range(2):
        producer.was_asked.clear()
        if not producer.was_asked.wait(0.5):
            break
    arrivals.observe_delivered()
    assert latency("alone")[0] == 1
