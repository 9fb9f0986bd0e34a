"""Faults: what they take away, repeat and break."""

import pytest

from candlewax.simulator.frames import trades as frames
from candlewax.simulator.market import catalog
from candlewax.simulator.market.market import Market, Trade
from candlewax.simulator.market.rng import generator
from candlewax.simulator.recording import faults
from candlewax.simulator.recording.connections import ReceivedFrame
from candlewax.simulator.recording.faults import BINANCE, COINBASE, KRAKEN, Spoil
from tests.support import decoding

TIME_US = 1_789_421_400_123_456
BTC_USDT = catalog.spot_binance(900_000)[0]
BTC_USD = catalog.spot_kraken(900_000)[0]
COINBASE_BTC = catalog.spot_coinbase(900_000)[0]


def some(market: Market, count: int) -> tuple[Trade, ...]:
    return tuple(Trade(market, n, TIME_US, 7_124_055, 61_000, True, True, n) for n in range(count))


def kraken(bundle: tuple[Trade, ...]) -> ReceivedFrame:
    return ReceivedFrame(TIME_US, "kraken", "k", frames.kraken_v2(bundle), bundle)


def coinbase(bundle: tuple[Trade, ...]) -> ReceivedFrame:
    text = frames.coinbase_advanced(bundle, TIME_US, 7)
    return ReceivedFrame(TIME_US, "coinbase", "c", text, bundle)


def test_a_hole_is_where_it_was_asked_for() -> None:
    """Only the trades of these places are missing."""
    left = faults.drop_trades(some(BTC_USD, 10), 3, 4)
    assert [trade.trade_id for trade in left] == [0, 1, 2, 7, 8, 9]


def test_frames_come_twice() -> None:
    """At times a frame of trades comes again at once, a control frame never."""
    sent = [kraken(some(BTC_USD, 1)), ReceivedFrame(TIME_US, "kraken", "k", "control")] * 200
    twice = list(faults.repeat_frames(sent, 10, generator(1, "twice")))
    again = len(twice) - len(sent)
    assert 5 < again < 50
    assert sum(bool(one.trades) for one in twice) == 200 + again


@pytest.mark.parametrize("make", [kraken, coinbase])
def test_a_spoiled_frame_keeps_its_good_trades(make: object) -> None:
    """One more trade, of no quantity, stands in front of those that were there."""
    market = BTC_USD if make is kraken else COINBASE_BTC
    whole = kraken(some(market, 3)) if make is kraken else coinbase(some(market, 3))
    (spoiled,) = faults.spoil_trades(
        [whole],
        lambda t: (kraken if make is kraken else coinbase)((t,)).text,
        1,
        generator(1, "spoiled"),
    )
    decoded = decoding.read(whole.exchange, spoiled.text)
    assert spoiled.bad_trades == 1
    assert spoiled.trades == whole.trades
    assert decoded.trades.height == 3
    assert decoded.dead_letters.rows(named=True)[0]["reason"] == "bad_quantity"


def test_a_lone_trade_is_not_spoiled() -> None:
    """Frames of one trade stay as they are."""
    lone = kraken(some(BTC_USD, 1))
    rng = generator(1, "spoiled")
    assert list(faults.spoil_trades([lone], lambda t: kraken((t,)).text, 1, rng)) == [lone]


TEXTS = {
    "binance": frames.binance(some(BTC_USDT, 1)[0], TIME_US),
    "kraken": kraken(some(BTC_USD, 2)).text,
    "coinbase": coinbase(some(COINBASE_BTC, 2)).text,
}


@pytest.mark.parametrize(
    ("exchange", "spoils"), [("binance", BINANCE), ("kraken", KRAKEN), ("coinbase", COINBASE)]
)
def test_nothing_is_left_of_a_broken_frame(exchange: str, spoils: tuple[Spoil, ...]) -> None:
    """Each way to break a frame makes it a dead letter, for several reasons."""
    texts = [spoil(TEXTS[exchange]) for spoil in spoils]
    assert decoding.kinds(exchange, TEXTS[exchange]) == ["trade"]
    assert decoding.kinds(exchange, *texts) == ["dead"] * len(texts)
    assert len(set(decoding.reasons(exchange, *texts))) >= 3


def test_broken_frames_stand_between_the_others() -> None:
    """Each way to break a frame is used once, so many frames of trades apart."""
    sent = [kraken(some(BTC_USD, 2)) for _ in range(100)]
    mixed = list(faults.insert_broken_frames(sent, 10, KRAKEN))
    places = [place for place, one in enumerate(mixed) if one.is_dead]
    assert places == [10, 21, 32, 43, 54]
    assert [one for one in mixed if not one.is_dead] == sent
    assert not any(one.trades for one in mixed if one.is_dead)
