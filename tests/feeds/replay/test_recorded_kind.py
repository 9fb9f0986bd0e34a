"""What a recording is, by its content alone."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import zstandard

from candlewax.core import frame_log
from candlewax.core.kind_marks import KIND_TEXTS, REAL, SAMPLE_KIND, SIMULATED
from candlewax.data import SAMPLE
from candlewax.feeds.replay.log_reader import blocks
from candlewax.feeds.replay.recorded_kind import kinds_of
from candlewax.pipeline.data_kind import kind_of
from candlewax.runtime.settings import SettingsError, load

HOLDERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    ".tsv": bytes,
    ".tsv.gz": gzip.compress,
    ".tsv.zst": zstandard.ZstdCompressor(level=1).compress,
}
"""What a log of each form is made by."""


def line(seq: int, frame: str, recv_ns: int = 1_600_000_000_000_000_000) -> str:
    return frame_log.format_line(recv_ns + seq, "binance", "b0", seq, frame)


REAL_EVENT = line(0, '{"candlewax":"connected","url":"wss://stream.binance.com"}')
MADE_EVENT = line(0, '{"candlewax":"connected","url":"ws://127.0.0.1:9","made":"simulator"}')
QUOTED = line(1, '{"text":"{\\"candlewax\\":\\"connected\\",\\"made\\":\\"simulator\\"}"}')
TRADES = "".join(line(n, '{"e":"trade"}' + " " * 200) for n in range(12_000))
"""More than two mebibytes of them."""


@pytest.fixture(scope="module")
def sample() -> bytes:
    """The text of the sample."""
    return b"".join(blocks(SAMPLE, lambda _: None))


@pytest.mark.parametrize("form", HOLDERS)
@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", {REAL}),
        (TRADES, {REAL}),
        (REAL_EVENT + TRADES, {REAL}),
        (QUOTED, {REAL}),
        (line(1, '{"made":"simulator"}'), {REAL}),
        (MADE_EVENT, {SIMULATED}),
        (MADE_EVENT.rstrip("\n"), {SIMULATED}),
        (TRADES + MADE_EVENT, {SIMULATED}),
        (MADE_EVENT + TRADES + REAL_EVENT, {SIMULATED, REAL}),
        (REAL_EVENT + MADE_EVENT, {SIMULATED, REAL}),
    ],
)  # fmt: skip
def test_events_of_connections_tell(tmp_path: Path, form: str, text: str, kinds: set[str]) -> None:
    """Wherever they stand, and in each form that is read."""
    path = tmp_path / f"log{form}"
    path.write_bytes(HOLDERS[form](text.encode()))
    assert kinds_of(path) == kinds


@pytest.mark.parametrize("form", HOLDERS)
def test_sample_is_known_under_any_name(tmp_path: Path, sample: bytes, form: str) -> None:
    """Copied, unpacked or packed anew."""
    path = tmp_path / f"mine{form}"
    path.write_bytes(HOLDERS[form](sample))
    assert kinds_of(path) == {SAMPLE_KIND}


def test_part_of_the_sample_is_the_sample(tmp_path: Path, sample: bytes) -> None:
    """With a last line that was cut, other ends of lines, or the mark of a text editor."""
    lines = sample.split(b"\n")
    path = tmp_path / "part.tsv"
    for text in (
        b"\n".join(lines[5_000:5_010]) + b"\n" + lines[5_010][:40],
        b"\r\n".join(lines[70_000:70_003]),
        b"\xef\xbb\xbf" + lines[9],
        b"\n".join(reversed(lines[:100])),
    ):
        path.write_bytes(text)
        assert kinds_of(path) == {SAMPLE_KIND}


def test_sample_beside_others_is_found(tmp_path: Path, sample: bytes) -> None:
    """Before it, behind it, or among its lines, of the same hours too."""
    first, *_, last = sample.split(b"\n")[:1000]
    same_hour = line(7, "{}", int(last.partition(b"\t")[0])).encode()
    path = tmp_path / "mixed.tsv"
    for text, kinds in (
        (TRADES.encode() + first, {SAMPLE_KIND, REAL}),
        (first + b"\n" + TRADES.encode(), {SAMPLE_KIND, REAL}),
        (first + b"\n" + same_hour, {SAMPLE_KIND, REAL}),
        (same_hour, {REAL}),
        (first + b"\n" + MADE_EVENT.encode(), {SAMPLE_KIND, SIMULATED}),
        (first + b"\n" + REAL_EVENT.encode(), {SAMPLE_KIND, REAL}),
    ):
        path.write_bytes(text)
        assert kinds_of(path) == kinds


def test_logs_of_which_kinds_meet_are_refused(tmp_path: Path) -> None:
    """In one log or in several: each kind is named, with a log that holds it."""
    both, made, real = (tmp_path / name for name in ("both.tsv", "made.tsv.gz", "real.tsv"))
    both.write_text(MADE_EVENT + REAL_EVENT)
    made.write_bytes(gzip.compress(MADE_EVENT.encode()))
    real.write_text(TRADES)
    for feed in ((both,), (made, real), (SAMPLE, real), (made, SAMPLE)):
        with pytest.raises(SettingsError, match="takes logs of one kind") as refused:
            kind_of(replace(load({}), feed=feed))
        assert str(refused.value).startswith("CANDLEWAX_FEED: ")
        assert all(str(path) in str(refused.value) for path in feed)
        assert sum(text in str(refused.value) for text in KIND_TEXTS.values()) == 2
    assert kind_of(replace(load({}), feed=(made, made))) == SIMULATED


def test_damaged_log_is_looked_through_as_far_as_it_goes(tmp_path: Path) -> None:
    """Who reads it on says what is wrong with it."""
    path = tmp_path / "cut.tsv.gz"
    path.write_bytes(gzip.compress((MADE_EVENT + TRADES).encode())[:-20])
    assert kinds_of(path) == {SIMULATED}
    path.write_bytes(b"no gzip")
    assert kinds_of(path) == {REAL}
    assert kinds_of(tmp_path / "none.tsv") == {REAL}
