"""The steps from frames to trades: frames on which reading itself fails."""

import logging
from collections.abc import Callable, Sequence
from unittest.mock import Mock

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.exceptions import PanicException

from candlewax.core.frames import FrameBatch
from candlewax.core.instruments import Instruments
from candlewax.core.rows import frame_decoder as rows
from candlewax.core.schema import FRAMES, SCOPE_FRAME
from candlewax.core.trades.decode import DecodedFrames, decode
from candlewax.exchanges import Exchange
from candlewax.pipeline.steps import decode as decode_step
from candlewax.pipeline.steps.decode import DecodeStep
from candlewax.runtime.counters import Counters
from tests.support.decoding import INSTRUMENTS, RECEIVED_NS

TRADE = (
    '{"e":"trade","E":1,"s":"BTCUSDT","t":N,"p":"1.5","q":"2","T":1800000000000,"m":true,"M":true}'
)
POISON = '{"e":"poison"}'


def frames(poisoned: Sequence[bool]) -> pl.DataFrame:
    """A trade or a poisoned frame each, by its place."""
    rows = [
        (RECEIVED_NS + n, "c0", n, POISON if is_bad else TRADE.replace("N", str(n + 1)))
        for n, is_bad in enumerate(poisoned)
    ]
    return pl.DataFrame(rows, FRAMES, orient="row")


def failing(
    patch: pytest.MonkeyPatch, fails: Callable[[pl.DataFrame], BaseException | None]
) -> None:
    """Make reading fail with the error that `fails` returns for the frames; rows always fail."""

    def reading(
        exchange: Exchange, frames: pl.DataFrame, instruments: Instruments, _: None
    ) -> DecodedFrames:
        if error := fails(frames):
            raise error
        return decode(exchange, frames, instruments)

    patch.setattr(decode_step, "decode", reading)
    patch.setattr(rows, "decode", Mock(side_effect=RuntimeError))


def read(poisoned: Sequence[bool]) -> list[DecodedFrames]:
    decoder = DecodeStep(INSTRUMENTS, ["binance"], Counters())
    results = decoder(FrameBatch("binance", frames(poisoned)))
    assert {exchange for exchange, _ in results} == {"binance"}
    return [decoded for _, decoded in results if isinstance(decoded, DecodedFrames)]


def by_poison(error: BaseException) -> Callable[[pl.DataFrame], BaseException | None]:
    return lambda frames: error if (frames["frame"] == POISON).any() else None


@pytest.mark.parametrize("error", [RuntimeError("no luck"), PanicException("no luck")])
@given(poisoned=st.lists(st.booleans(), min_size=1, max_size=24))
def test_failing_frame_becomes_a_dead_letter_and_others_are_read(
    error: BaseException, poisoned: list[bool]
) -> None:
    """With the error as detail; all frames keep their order."""
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, by_poison(error))
        decoded_frames = read(poisoned)
    bronze = pl.concat([decoded.bronze for decoded in decoded_frames])
    assert bronze["source_offset"].to_list() == list(range(len(poisoned)))
    ids = pl.concat([decoded.trades["trade_id"] for decoded in decoded_frames]).to_list()
    assert ids == [str(n + 1) for n, is_bad in enumerate(poisoned) if not is_bad]
    letters = pl.concat([decoded.dead_letters for decoded in decoded_frames])
    bad = [n for n, is_bad in enumerate(poisoned) if is_bad]
    rows = letters.select("source_offset", "scope", "reason", "frame").rows()
    assert rows == [(n, SCOPE_FRAME, "decoder_failed", POISON.encode()) for n in bad]
    assert set(letters["detail"]) <= {f"{type(error).__name__}: no luck"}


def test_frames_that_fail_only_together_are_all_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged once."""
    failing(monkeypatch, lambda frames: ValueError("too many") if frames.height > 3 else None)
    with caplog.at_level(logging.ERROR):
        decoded_frames = read([False] * 20)
    assert sum(decoded.trades.height for decoded in decoded_frames) == 20
    assert not any(decoded.dead_letters.height for decoded in decoded_frames)
    (record,) = caplog.records
    assert record.exc_info
    assert str(record.exc_info[1]) == "too many"


def test_lack_of_memory_is_not_blamed_on_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the pipeline, and the frames are read again."""
    failing(monkeypatch, lambda _: MemoryError())
    with pytest.raises(MemoryError):
        read([False])
