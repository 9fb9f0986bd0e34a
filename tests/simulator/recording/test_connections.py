"""Recorded connections: which published trades they receive."""

from itertools import pairwise

from candlewax.simulator.frames.channels import BinanceSpot, KrakenV2
from candlewax.simulator.market import catalog
from candlewax.simulator.market.market import MINUTE_US, SECOND_US, Market, Path, Trade, trades
from candlewax.simulator.market.rng import generator
from candlewax.simulator.recording.connections import (
    Published,
    ReceivedFrame,
    RecordedConnection,
    insert_control_frames,
    publish,
    receive,
    spans,
)

START_US = 1_789_421_400_000_000
END_US = START_US + 180 * MINUTE_US
KRAKEN = catalog.spot_kraken(900_000)[:3]
BINANCE = catalog.spot_binance(500_000)[:3]


def generate(market: Market) -> list[Trade]:
    path = Path(1, market.base, START_US, 180 * 60 + 1)
    return list(trades(market, path, START_US, END_US, 1))


def published(markets: list[Market]) -> list[Published]:
    feed = KrakenV2() if markets is KRAKEN else BinanceSpot()
    return publish(feed, map(generate, markets), START_US, END_US, generator(1, "published"))


def received_trades(sent: list[ReceivedFrame]) -> list[Trade]:
    return [trade for frame in sent for trade in frame.trades]


def received_frames(periods: list[tuple[int, int]]) -> list[ReceivedFrame]:
    return list(
        receive(
            KrakenV2, RecordedConnection("k", periods), published(KRAKEN), generator(1, "carried")
        )
    )


def test_each_trade_is_published_once_after_it_happened() -> None:
    """And none after the end of the recording."""
    bundles = published(BINANCE)
    expected = [trade for market in BINANCE for trade in generate(market)]
    assert len(expected) == len(bundles)
    assert {bundle for _, bundle in bundles} == {(trade,) for trade in expected}
    assert all(bundle[-1].time_us < sent_us < END_US + SECOND_US for sent_us, bundle in bundles)


def test_few_trades_are_published_late() -> None:
    """At least 98 of 100 within a second, some late by minutes, a few by twenty or more."""
    lateness = sorted(
        (sent_us - bundle[-1].time_us) // SECOND_US for sent_us, bundle in published(BINANCE)
    )
    assert lateness[len(lateness) * 98 // 100] == 0
    assert lateness[-1] > 20 * 60
    assert any(60 < late < 600 for late in lateness)


def test_frames_arrive_in_the_order_sent_after_the_opening() -> None:
    """Without an outage each trade is received once."""
    sent = received_frames([(START_US, END_US)])
    assert all(before.recv_us <= after.recv_us for before, after in pairwise(sent))
    assert sent[0].text.startswith('{"channel":"status"')
    assert len(received_trades(sent)) == sum(len(generate(market)) for market in KRAKEN)


def test_snapshot_after_an_outage_holds_the_missed_trades() -> None:
    """It repeats some trades from before the outage."""
    sent = received_frames(spans(START_US, END_US, [(100, 20)]))
    down_us = START_US + 100 * MINUTE_US
    quiet = [s for s in sent if down_us + SECOND_US < s.recv_us < down_us + 20 * SECOND_US]
    assert not quiet
    snapshots = [s for s in sent if s.trades and '"snapshot"' in s.text]
    assert sorted(s.trades[0].market.native_symbol for s in snapshots) == [
        "BTC/USD",
        "ETH/USD",
        "SOL/USD",
    ]
    assert all(len(s.trades) == KrakenV2.history for s in snapshots)
    assert set(received_trades(sent)) == {t for market in KRAKEN for t in generate(market)}
    assert len(received_trades(sent)) > len(set(received_trades(sent)))


def test_outage_without_a_snapshot_loses_its_trades() -> None:
    """Exactly the trades published during the outage are missing."""
    line = RecordedConnection("b", spans(START_US, END_US, [(100, 20)]))
    sent = list(receive(BinanceSpot, line, published(BINANCE), generator(1, "carried")))
    down_us = START_US + 100 * MINUTE_US
    lost = [
        bundle
        for sent_us, bundle in published(BINANCE)
        if down_us <= sent_us < down_us + 20 * SECOND_US
    ]
    assert lost
    assert set(received_trades(sent)).isdisjoint(trade for bundle in lost for trade in bundle)
    assert len(received_trades(sent)) + len(lost) == len(published(BINANCE))


def test_inserted_control_frames_change_no_other_frame() -> None:
    """They are inserted between the others, in turn."""
    sent = received_frames([(START_US, END_US)])
    mixed = list(insert_control_frames(sent, 100, (lambda *_: "one", lambda *_: "two")))
    added = [s.text for s in mixed if s.text in {"one", "two"}]
    assert [s for s in mixed if s.text not in {"one", "two"}] == sent
    assert added[:3] == ["two", "one", "two"]


def test_spans_exclude_the_outages() -> None:
    """A connection is up until an outage begins, and again from its end."""
    minute = MINUTE_US
    assert spans(0, 10 * minute, [(2, 30), (5, 60)]) == [
        (0, 2 * minute),
        (2 * minute + 30 * SECOND_US, 5 * minute),
        (6 * minute, 10 * minute),
    ]
    assert spans(3, 7, []) == [(3, 7)]
