"""Markets and batches that property tests draw."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import strategies as st

from tests.support.oracle import Fill
from tests.support.playing import EPOCH_ZERO, Frame, binance, kraken_v1

CUTS = st.lists(st.integers(1, 25), max_size=6)
"""Places where frames are cut into batches."""

_REMEMBERED_US = 86_400_000_000
"""How long a trade without a number is known by its id: no repeat of one, read again, is older."""

_FAR_US = 10**18

_PRICES = st.integers(1, 10**7).map(lambda n: Decimal(n).scaleb(-2))
_QUANTITIES = st.integers(1, 10**6).map(lambda n: Decimal(n).scaleb(-4))
_STEPS = st.one_of(
    st.integers(0, 3_000),
    st.integers(0, 200_000_000),
    st.sampled_from([60_000_000, 3_600_000_000, 86_400_000_000]),
)


@st.composite
def markets(draw: st.DrawFn) -> list[Frame]:
    """Draw frames of two exchanges: ties, late trades, repeats, several trades a frame.

    The example that Hypothesis tries first is the simplest: here it has most frames.
    """
    frames: list[Frame] = []
    time, repeated = EPOCH_ZERO, _FAR_US
    ids = {"BTC/USDT": 100, "ETH/USDT": 2**40}
    for seq in range(25 - draw(st.integers(0, 24))):
        step = draw(_STEPS) // 1000 * 1000
        time += step if time + step - repeated <= _REMEMBERED_US else 0
        late = draw(st.sampled_from([0, 0, 0, 1_000, 90_000_000, 5_000_000_000]))
        known = [frame for frame in frames if _is_remembered(frame, time)]
        if known and draw(st.integers(0, 6)) == 6:
            again = draw(st.sampled_from(known))
            if again.exchange == "kraken":
                repeated = min(repeated, *(fill.time for fill in again.fills))
            frames.append(replace(again, seq=1000 + seq, recv_us=time))
        elif draw(st.booleans()):
            symbol = draw(st.sampled_from(sorted(ids)))
            ids[symbol] += draw(st.sampled_from([1, 1, 1, 2]))
            fill = Fill(
                "binance", symbol, str(ids[symbol]), ids[symbol], time - late,
                draw(st.booleans()), draw(_PRICES), draw(_QUANTITIES),
            )  # fmt: skip
            frames.append(binance(seq, time, fill, draw(st.sampled_from(["b0", "b1"]))))
        else:
            frames.append(kraken_v1(seq, time, _kraken_fills(draw, time - late)))
    return frames


def _kraken_fills(draw: st.DrawFn, time: int) -> list[Fill]:
    fills = []
    for _ in range(draw(st.integers(1, 3))):
        price, quantity = draw(_PRICES), draw(_QUANTITIES)
        fill = Fill("kraken", "BTC/USD", "", 0, time, draw(st.booleans()), price, quantity)
        fills.append(fill)
    return fills


def _is_remembered(frame: Frame, now: int) -> bool:
    """Tell whether a repeat is told by its id: where it is no number, a day after the trade."""
    return frame.exchange == "binance" or now - min(f.time for f in frame.fills) <= _REMEMBERED_US
