"""Connections: what is heard of what is published."""

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


def made(market: Market) -> list[Trade]:
    path = Path(1, market.base, START_US, 180 * 60 + 1)
    return list(trades(market, path, START_US, END_US, 1))


def published(among: list[Market]) -> list[Published]:
    feed = KrakenV2() if among is KRAKEN else BinanceSpot()
    return publish(feed, map(made, among), START_US, END_US, generator(1, "published"))


def received_trades(sent: list[ReceivedFrame]) -> list[Trade]:
    return [trade for one in sent for trade in one.trades]


def received_frames(periods: list[tuple[int, int]]) -> list[ReceivedFrame]:
    return list(
        receive(
            KrakenV2, RecordedConnection("k", periods), published(KRAKEN), generator(1, "carried")
        )
    )


def test_everything_is_published_once() -> None:
    """No trade is left out, none comes before it happened, none after the end."""
    found = published(BINANCE)
    expected = [trade for market in BINANCE for trade in made(market)]
    assert len(expected) == len(found)
    assert {bundle for _, bundle in found} == {(trade,) for trade in expected}
    assert all(bundle[-1].time_us < sent_us < END_US + SECOND_US for sent_us, bundle in found)


def test_few_are_late() -> None:
    """Most trades are published at once, some late, a few by minutes or half an hour."""
    lateness = sorted(
        (sent_us - bundle[-1].time_us) // SECOND_US for sent_us, bundle in published(BINANCE)
    )
    assert lateness[len(lateness) * 98 // 100] == 0
    assert lateness[-1] > 20 * 60
    assert any(60 < late < 600 for late in lateness)


def test_a_connection_keeps_its_order() -> None:
    """Frames are received in the order they were sent, behind the opening."""
    sent = received_frames([(START_US, END_US)])
    assert all(before.recv_us <= after.recv_us for before, after in pairwise(sent))
    assert sent[0].text.startswith('{"channel":"status"')
    assert len(received_trades(sent)) == sum(len(made(market)) for market in KRAKEN)


def test_an_outage_is_made_up_for_by_the_snapshot() -> None:
    """Who connects again is shown the trades missed, along with some known before."""
    sent = received_frames(spans(START_US, END_US, [(100, 20)]))
    down_us = START_US + 100 * MINUTE_US
    quiet = [s for s in sent if down_us + SECOND_US < s.recv_us < down_us + 20 * SECOND_US]
    assert not quiet
    again = [s for s in sent if s.trades and '"snapshot"' in s.text]
    assert sorted(s.trades[0].market.native_symbol for s in again) == [
        "BTC/USD",
        "ETH/USD",
        "SOL/USD",
    ]
    assert all(len(s.trades) == KrakenV2.history for s in again)
    assert set(received_trades(sent)) == {t for market in KRAKEN for t in made(market)}
    assert len(received_trades(sent)) > len(set(received_trades(sent)))


def test_an_outage_without_snapshot_is_a_hole() -> None:
    """Where the exchange shows nothing again, what was published meanwhile is lost."""
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


def test_asides_leave_the_trades_alone() -> None:
    """Control frames stand between the others and change none."""
    sent = received_frames([(START_US, END_US)])
    mixed = list(insert_control_frames(sent, 100, (lambda *_: "one", lambda *_: "two")))
    added = [s.text for s in mixed if s.text in {"one", "two"}]
    assert [s for s in mixed if s.text not in {"one", "two"}] == sent
    assert added[:3] == ["two", "one", "two"]


def test_spans_leave_out_the_outages() -> None:
    """A connection is up until each outage and from its end on."""
    minute = MINUTE_US
    assert spans(0, 10 * minute, [(2, 30), (5, 60)]) == [
        (0, 2 * minute),
        (2 * minute + 30 * SECOND_US, 5 * minute),
        (6 * minute, 10 * minute),
    ]
    assert spans(3, 7, []) == [(3, 7)]
