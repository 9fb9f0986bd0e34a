"""What becomes of a frame of trades, drawn from the seed."""

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from candlewax.simulator.frames.channels import Bundle
from candlewax.simulator.market.rng import below, generator
from candlewax.simulator.plan import Mischief
from candlewax.simulator.recording import faults
from candlewax.simulator.recording.faults import Spoil

_SPOILS: Final = {
    "binance": faults.BINANCE,
    "binance_usdm": faults.BINANCE,
    "kraken": faults.KRAKEN,
    "coinbase": faults.COINBASE,
}


class FrameFault(NamedTuple):
    """How a bundle is sent: what is made of its text, and whether it comes late."""

    texts: Callable[[str], list[str]]
    lost: bool = False
    """Whether its trades cannot be read."""
    late: bool = False


_PLAIN: Final = FrameFault(lambda text: [text])
_TWICE: Final = FrameFault(lambda text: [text, text])
_CUT: Final = FrameFault(lambda text: [faults.cut(text)], lost=True)
_LATE: Final = FrameFault(lambda text: [text], late=True)


class Chance:
    """Draws what goes wrong with one exchange."""

    def __init__(self, mischief: Mischief, seed: int, exchange: str) -> None:
        self._mischief = mischief
        self._rng: Random = generator(seed, f"mischief {exchange}")
        self._spoils = _SPOILS[exchange]
        m = mischief
        self._fates: list[tuple[float, Callable[[], FrameFault]]] = [
            (m.truncate, lambda: _CUT),
            (m.swap, lambda: _LATE),
            (m.repeat, lambda: _TWICE),
            (m.garbage, self._with_garbage),
        ]
        self._good = not any(chance for chance, _ in self._fates)

    def heard(self, bundle: Bundle) -> Bundle:
        """The trades that are not skipped."""
        chance = self._mischief.skip
        return tuple(t for t in bundle if self._rng.random() >= chance) if chance else bundle

    def fate(self) -> FrameFault:
        """What becomes of the next frame."""
        if self._good:
            return _PLAIN
        for chance, fate in self._fates:
            if chance and self._rng.random() < chance:
                return fate()
        return _PLAIN

    def _with_garbage(self) -> FrameFault:
        spoil: Spoil = self._spoils[below(self._rng, len(self._spoils))]
        return FrameFault(lambda text: [text, spoil(text)])
