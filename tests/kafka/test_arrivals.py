"""How long it takes until the broker has what was handed over."""

import threading

import pytest
from prometheus_client import REGISTRY

from candlewax.kafka.arrivals import DeliveryLatency


def produced(exchange: str) -> list[float]:
    """How many batches have arrived, and the sum of what they took."""
    name = "candlewax_received_to_produced_seconds"
    found = [
        REGISTRY.get_sample_value(f"{name}_{what}", {"exchange": exchange})
        for what in ("count", "sum")
    ]
    return [value or 0 for value in found]


class Producer:
    """Messages that wait until a test says that they have arrived."""

    def __init__(self) -> None:
        self.left = 0
        self.asked = threading.Event()

    def waiting(self) -> int:
        """How many have not arrived."""
        self.asked.set()
        return self.left


def test_batch_has_arrived_once_only_later_messages_wait() -> None:
    """It took the time since its oldest frame was received."""
    producer, now = Producer(), [1_000.0]
    arrivals = DeliveryLatency(producer.waiting, lambda: now[0])
    producer.left = 5
    arrivals.record_sent("first", 3, 999.0)
    arrivals.record_sent("second", 2, 999.5)
    arrivals.observe_delivered()
    assert produced("first") == produced("second") == [0, 0]
    # Three of five are there: those of the first batch.
    now[0], producer.left = 1_001.0, 2
    arrivals.observe_delivered()
    assert produced("first") == [1, pytest.approx(2.0)]
    assert produced("second") == [0, 0]
    now[0], producer.left = 1_001.5, 0
    arrivals.observe_delivered()
    assert produced("second") == [1, pytest.approx(2.0)]
    arrivals.observe_delivered()
    assert produced("first")[0] == produced("second")[0] == 1


def test_arrivals_are_measured_in_the_background() -> None:
    """Nobody has to send more for an arrival to be noticed in time."""
    producer = Producer()
    arrivals = DeliveryLatency(producer.waiting)
    producer.left = 1
    arrivals.record_sent("alone", 1, 0.0)
    producer.asked.clear()
    assert producer.asked.wait(10)
    producer.left = 0
    for _ in range(2):
        producer.asked.clear()
        if not producer.asked.wait(0.5):
            break
    arrivals.observe_delivered()
    assert produced("alone")[0] == 1
