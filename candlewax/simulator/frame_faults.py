"""Faults in frames of trades, drawn from the seed."""

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple

from candlewax.simulator.frames.channels import Bundle
from candlewax.simulator.market.rng import below, generator
from candlewax.simulator.plan import FaultRates
from candlewax.simulator.recording import faults
from candlewax.simulator.recording.faults import Spoil

_SPOILS: Final = {
    "binance": faults.BINANCE,
    "binance_usdm": faults.BINANCE,
    "kraken": faults.KRAKEN,
    "coinbase": faults.COINBASE,
}


class FrameFault(NamedTuple):
    """One fault: the texts to send instead of a frame, and whether it is sent late."""

    texts: Callable[[str], list[str]]
    is_lost: bool = False
    """True if its trades cannot be read."""
    is_late: bool = False


_PLAIN: Final = FrameFault(lambda text: [text])
_TWICE: Final = FrameFault(lambda text: [text, text])
_CUT: Final = FrameFault(lambda text: [faults.cut(text)], is_lost=True)
_LATE: Final = FrameFault(lambda text: [text], is_late=True)


class FaultPicker:
    """Draws the frame faults of one exchange."""

    def __init__(self, fault_rates: FaultRates, seed: int, exchange: str) -> None:
        self._fault_rates = fault_rates
        self._rng: Random = generator(seed, f"mischief {exchange}")
        self._spoils = _SPOILS.get(exchange, faults.ANY)
        self._faults: list[tuple[float, Callable[[], FrameFault]]] = [
            (fault_rates.truncate, lambda: _CUT),
            (fault_rates.swap, lambda: _LATE),
            (fault_rates.repeat, lambda: _TWICE),
            (fault_rates.garbage, self._with_garbage),
        ]
        self._is_faultless = not any(chance for chance, _ in self._faults)

    def drop_skipped(self, bundle: Bundle) -> Bundle:
        """Return the trades that are not skipped."""
        chance = self._fault_rates.skip
        return tuple(t for t in bundle if self._rng.random() >= chance) if chance else bundle

    def next_fault(self) -> FrameFault:
        """Return the fault of the next frame."""
        if self._is_faultless:
            return _PLAIN
        for chance, make_fault in self._faults:
            if chance and self._rng.random() < chance:
                return make_fault()
        return _PLAIN

    def _with_garbage(self) -> FrameFault:
        spoil: Spoil = self._spoils[below(self._rng, len(self._spoils))]
        return FrameFault(lambda text: [text, spoil(text)])
