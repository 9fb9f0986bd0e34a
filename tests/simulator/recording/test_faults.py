"""Faults of a recording: trades dropped, frames repeated or broken."""

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


def first_trades(market: Market, count: int) -> tuple[Trade, ...]:
    return tuple(Trade(market, n, TIME_US, 7_124_055, 61_000, True, True, n) for n in range(count))


def kraken(bundle: tuple[Trade, ...]) -> ReceivedFrame:
    return ReceivedFrame(TIME_US, "kraken", "k", frames.kraken_v2(bundle), bundle)


def coinbase(bundle: tuple[Trade, ...]) -> ReceivedFrame:
    text = frames.coinbase_advanced(bundle, TIME_US, 7)
    return ReceivedFrame(TIME_US, "coinbase", "c", text, bundle)


def test_dropped_trades_are_those_at_the_given_places() -> None:
    kept = faults.drop_trades(first_trades(BTC_USD, 10), 3, 4)
    assert [trade.trade_id for trade in kept] == [0, 1, 2, 7, 8, 9]


def test_only_frames_of_trades_are_repeated() -> None:
    """About one in ten; a control frame never."""
    sent = [
        kraken(first_trades(BTC_USD, 1)),
        ReceivedFrame(TIME_US, "kraken", "k", "control"),
    ] * 200
    repeated = list(faults.repeat_frames(sent, 10, generator(1, "twice")))
    repeat_count = len(repeated) - len(sent)
    assert 5 < repeat_count < 50
    assert sum(bool(frame.trades) for frame in repeated) == 200 + repeat_count


@pytest.mark.parametrize("make", [kraken, coinbase])
def test_spoiled_frame_keeps_its_good_trades(make: object) -> None:
    """One trade without a quantity is added in front."""
    market = BTC_USD if make is kraken else COINBASE_BTC
    whole = kraken(first_trades(market, 3)) if make is kraken else coinbase(first_trades(market, 3))
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


def test_frame_of_one_trade_is_not_spoiled() -> None:
    frame = kraken(first_trades(BTC_USD, 1))
    rng = generator(1, "spoiled")
    assert list(faults.spoil_trades([frame], lambda t: kraken((t,)).text, 1, rng)) == [frame]


TEXTS = {
    "binance": frames.binance(first_trades(BTC_USDT, 1)[0], TIME_US),
    "kraken": kraken(first_trades(BTC_USD, 2)).text,
    "coinbase": coinbase(first_trades(COINBASE_BTC, 2)).text,
}


@pytest.mark.parametrize(
    ("exchange", "spoils"), [("binance", BINANCE), ("kraken", KRAKEN), ("coinbase", COINBASE)]
)
def test_broken_frame_becomes_a_dead_letter(exchange: str, spoils: tuple[Spoil, ...]) -> None:
    """For each way to break a frame; the reasons differ."""
    texts = [spoil(TEXTS[exchange]) for spoil in spoils]
    assert decoding.kinds(exchange, TEXTS[exchange]) == ["trade"]
    assert decoding.kinds(exchange, *texts) == ["dead"] * len(texts)
    assert len(set(decoding.reasons(exchange, *texts))) >= 3


def test_broken_frames_are_inserted_at_even_distances() -> None:
    """Each way to break a frame is used once; the other frames do not change."""
    sent = [kraken(first_trades(BTC_USD, 2)) for _ in range(100)]
    mixed = list(faults.insert_broken_frames(sent, 10, KRAKEN))
    places = [place for place, frame in enumerate(mixed) if frame.is_dead]
    assert places == [10, 21, 32, 43, 54]
    assert [frame for frame in mixed if not frame.is_dead] == sent
    assert not any(frame.trades for frame in mixed if frame.is_dead)
