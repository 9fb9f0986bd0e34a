"""The status of feeds, derived from stored batches and their times."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from candlewax.core.batch import Batch
from candlewax.core.schema import BRONZE, KIND_CONTROL, KIND_TRADE, TRADES
from candlewax.web.stream.feed_status import (
    HIDE_AFTER_US,
    RATE_SPAN_US,
    SECOND_US,
    STALLED_US,
    Clock,
    LiveFeedStatus,
    Rate,
)
from candlewax.web.stream.poller import StoredFeedStatus

BEGIN = datetime(2026, 9, 14, tzinfo=UTC)
NOW = int(BEGIN.timestamp()) * SECOND_US


def batch(connection: str, after: float, frame: str = "{}", trades: int = 0) -> Batch:
    """A batch of one frame, received `after` seconds from BEGIN, and its trades."""
    at = BEGIN + timedelta(seconds=after)
    kind = KIND_TRADE if trades else KIND_CONTROL
    known: dict[str, Any] = {
        "exchange": "x", "connection": connection, "source": "c", "source_partition": 0,
        "source_offset": 0, "received_at": at, "received_ns": 0, "frame": frame, "kind": kind,
        "trades": trades, "duplicates": 0,
    }  # fmt: skip
    bronze = pl.DataFrame([known], schema=BRONZE)
    rows = pl.DataFrame([{"received_at": at} for _ in range(trades)], schema=TRADES)
    tables = {"bronze_frames": bronze, "silver_trades": rows, "ohlcv": pl.DataFrame()}
    return Batch("x", tables, rows)


def status_after(*batches: tuple[float, Batch]) -> LiveFeedStatus:
    """The status after batches, each stored so many seconds after BEGIN."""
    feeds = LiveFeedStatus(Clock())
    for after, stored in batches:
        feeds.read_batches([(NOW + int(after * SECOND_US), stored)])
    return feeds


def states(feeds: LiveFeedStatus, after: float) -> dict[str, str]:
    report = feeds.report(NOW + int(after * SECOND_US))
    return {feed["connection"]: feed["state"] for feed in report["feeds"]}


def test_silent_connection_is_stalled_until_its_next_frame() -> None:
    """While it is stalled, the status of all feeds is degraded."""
    silence = STALLED_US / SECOND_US + 1
    feeds = status_after((0, batch("a", 0)), (0, batch("b", 0)), (silence, batch("b", silence)))
    assert states(feeds, silence) == {"a": "stalled", "b": "live"}
    assert feeds.report(NOW + int(silence * SECOND_US))["status"] == "degraded"
    feeds.read_batches([(NOW + int(silence * SECOND_US), batch("a", silence))])
    assert states(feeds, silence) == {"a": "live", "b": "live"}


def test_connection_event_sets_the_state_and_its_reason() -> None:
    """The feed records events as frames: disconnected with a reason, then connected."""
    gone = '{"candlewax":"disconnected","reason":"stalled"}'
    back = '{"candlewax":"connected"}'
    feeds = status_after((0, batch("a", 0)), (1, batch("a", 1, gone)))
    assert states(feeds, 1) == {"a": "disconnected"}
    assert feeds.report(NOW + SECOND_US)["feeds"][0]["reason"] == "stalled"
    feeds.read_batches([(NOW + 2 * SECOND_US, batch("a", 2, back))])
    assert states(feeds, 2) == {"a": "live"}


def test_frame_of_an_exchange_is_no_connection_event() -> None:
    """Not even if it holds the key or the word of our events."""
    for frame in ('{"candlewax":', '{"candlewax":7}', '{"candlewax":"x"}', '{"a":"candlewax"}'):
        assert states(status_after((0, batch("a", 0, frame))), 0) == {"a": "live"}


def test_connection_silent_for_long_is_hidden() -> None:
    """Only while another connection of its exchange delivers."""
    later = HIDE_AFTER_US / SECOND_US + 1
    feeds = status_after((0, batch("a", 0)))
    assert states(feeds, later) == {"a": "stalled"}
    feeds.read_batches([(NOW + int(later * SECOND_US), batch("b", later))])
    assert states(feeds, later) == {"b": "live"}


CLOSED_BY_US = '{"candlewax":"disconnected","code":1000,"reason":"","by":"us","after_s":82.6}'


def stored_states(*events: tuple[str, str]) -> tuple[str, dict[str, str]]:
    """The status, and the states, of connections by their last stored event."""
    feeds = StoredFeedStatus()
    feeds.rows = [
        {
            "exchange": "x", "connection": connection, "received_us": NOW, "event": event,
            "new_frames": 0, "new_trades": 0, "frames": 0, "trades": 0,
        }
        for connection, event in events
    ]  # fmt: skip
    report = feeds.report(NOW)
    return report["status"], {feed["connection"]: feed["state"] for feed in report["feeds"]}


def test_replaced_connection_is_hidden() -> None:
    """A successor delivers: that the old one was closed on purpose is no failure."""
    feeds = status_after((0, batch("a", 0)), (1, batch("b", 1)), (1, batch("a", 1, CLOSED_BY_US)))
    assert states(feeds, 1) == {"b": "live"}
    assert feeds.report(NOW + SECOND_US)["status"] == "live"
    assert stored_states(("a", CLOSED_BY_US), ("b", "")) == ("live", {"b": "live"})


@pytest.mark.parametrize("reason", ["silent", "stalled"])
def test_connection_that_is_closed_for_a_fault_is_shown(reason: str) -> None:
    """Such as one that brought nothing: its markets are not received."""
    faulty = CLOSED_BY_US.replace('"us"', f'"us","why":"{reason}"')
    feeds = status_after((0, batch("a", 0)), (1, batch("b", 1)), (1, batch("a", 1, faulty)))
    assert states(feeds, 1) == {"a": "disconnected", "b": "live"}
    stored = stored_states(("a", faulty), ("b", ""))
    assert stored == ("degraded", {"a": "disconnected", "b": "live"})


def test_closed_connection_is_shown_if_no_other_delivers() -> None:
    """A process that ended in order receives nothing either."""
    feeds = status_after((0, batch("a", 0)), (1, batch("a", 1, CLOSED_BY_US)))
    assert states(feeds, 1) == {"a": "disconnected"}
    assert stored_states(("a", CLOSED_BY_US)) == ("degraded", {"a": "disconnected"})


def test_rate_is_the_average_of_the_last_seconds() -> None:
    """Ten trades within five seconds are two per second; the total counts all."""
    feeds = status_after((0, batch("a", 0, trades=100)), (6, batch("a", 6, trades=10)))
    report = feeds.report(NOW + 7 * SECOND_US)
    assert report["trades_per_second"] == 2.0
    assert report["trades"] == 110


def test_latency_is_measured_from_receipt_to_storage() -> None:
    """Percentiles are by nearest rank."""
    waits = [0.010, 0.020, 0.030, 0.040]
    feeds = status_after(*((n + wait, batch("a", n, trades=1)) for n, wait in enumerate(waits)))
    latency = feeds.report(NOW + 5 * SECOND_US)["received_to_stored_ms"]
    assert latency == {"p50": 20.0, "p95": 40.0, "p99": 40.0}


@pytest.mark.parametrize("count", [1, 19, 20, 1_000])
def test_latency_covers_all_trades_that_are_stored_together(count: int) -> None:
    """A batch may hold the trades of a second: the newest alone would seem stored at once."""
    times = [BEGIN + timedelta(seconds=n / count) for n in range(count)]
    rows = pl.DataFrame([{"received_at": at} for at in times], schema=TRADES)
    feeds = status_after((1, Batch("x", {"silver_trades": rows}, rows)))
    latency = feeds.report(NOW + SECOND_US)["received_to_stored_ms"]
    assert latency["p50"] == pytest.approx(500 if count > 1 else 1000, abs=60)
    assert latency["p99"] == pytest.approx(1000, abs=60)


def test_ended_feed_is_neither_stalled_nor_live() -> None:
    """The end of a recording is no failure. Without any batch the status is waiting."""
    feeds = status_after((0, batch("a", 0)))
    feeds.has_ended = True
    assert states(feeds, 100) == {"a": "ended"}
    assert feeds.report(NOW + 100 * SECOND_US)["status"] == "ended"
    assert LiveFeedStatus(Clock()).report(NOW)["status"] == "waiting"


@pytest.mark.parametrize("source", ["rest/BTCUSDT", "dump/BTCUSDT"])
def test_rest_response_is_not_a_feed(source: str) -> None:
    """Its frames and trades are counted; only websockets are listed as feeds and set the status."""
    feeds = status_after((0, batch("a", 0)), (0, batch(source, 0, trades=3)))
    feeds.read_batches([(NOW + 200 * SECOND_US, batch("a", 200))])
    report = feeds.report(NOW + 201 * SECOND_US)
    assert report["status"] == "live"
    assert [feed["connection"] for feed in report["feeds"]] == ["a"]
    assert (report["frames"], report["trades"]) == (3, 3)


def test_rate_that_is_never_read_keeps_only_the_last_seconds() -> None:
    """The memory of a process without clients does not grow."""
    rate = Rate()
    for n in range(10_000):
        rate.add(NOW + n * SECOND_US, 3)
    assert (rate.total, len(rate._recent)) == (30_000, RATE_SPAN_US // SECOND_US + 1)  # noqa: SLF001
    assert rate.per_second(NOW + 9_999 * SECOND_US) == 18 / 5
