"""Data kind of a recording, by its content alone."""

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

PACKERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    ".tsv": bytes,
    ".tsv.gz": gzip.compress,
    ".tsv.zst": zstandard.ZstdCompressor(level=1).compress,
}
"""The function that packs a log of each form."""


def line(seq: int, frame: str, recv_ns: int = 1_600_000_000_000_000_000) -> str:
    return frame_log.format_line(recv_ns + seq, "binance", "b0", seq, frame)


REAL_EVENT = line(0, '{"candlewax":"connected","url":"wss://stream.binance.com"}')
SIMULATED_EVENT = line(0, '{"candlewax":"connected","url":"ws://127.0.0.1:9","made":"simulator"}')
QUOTED = line(1, '{"text":"{\\"candlewax\\":\\"connected\\",\\"made\\":\\"simulator\\"}"}')
TRADES = "".join(line(n, '{"e":"trade"}' + " " * 200) for n in range(12_000))
"""More than two mebibytes of frames."""


@pytest.fixture(scope="module")
def sample() -> bytes:
    """The text of the bundled sample."""
    return b"".join(blocks(SAMPLE, lambda _: None))


@pytest.mark.parametrize("form", PACKERS)
@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", {REAL}),
        (TRADES, {REAL}),
        (REAL_EVENT + TRADES, {REAL}),
        (QUOTED, {REAL}),
        (line(1, '{"made":"simulator"}'), {REAL}),
        (SIMULATED_EVENT, {SIMULATED}),
        (SIMULATED_EVENT.rstrip("\n"), {SIMULATED}),
        (TRADES + SIMULATED_EVENT, {SIMULATED}),
        (SIMULATED_EVENT + TRADES + REAL_EVENT, {SIMULATED, REAL}),
        (REAL_EVENT + SIMULATED_EVENT, {SIMULATED, REAL}),
    ],
)  # fmt: skip
def test_kind_of_a_log_follows_its_connection_events(
    tmp_path: Path, form: str, text: str, kinds: set[str]
) -> None:
    """At any place in the log, and in each form."""
    path = tmp_path / f"log{form}"
    path.write_bytes(PACKERS[form](text.encode()))
    assert kinds_of(path) == kinds


@pytest.mark.parametrize("form", PACKERS)
def test_sample_is_recognized_under_any_name_and_form(
    tmp_path: Path, sample: bytes, form: str
) -> None:
    """Copied, unpacked or packed again."""
    path = tmp_path / f"mine{form}"
    path.write_bytes(PACKERS[form](sample))
    assert kinds_of(path) == {SAMPLE_KIND}


def test_part_of_the_sample_is_recognized(tmp_path: Path, sample: bytes) -> None:
    """With a truncated last line, other line ends, or a byte order mark."""
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


def test_sample_lines_beside_other_frames_are_recognized(tmp_path: Path, sample: bytes) -> None:
    """Before them, after them, or among frames of the same hour."""
    first, *_, last = sample.split(b"\n")[:1000]
    same_hour = line(7, "{}", int(last.partition(b"\t")[0])).encode()
    path = tmp_path / "mixed.tsv"
    for text, kinds in (
        (TRADES.encode() + first, {SAMPLE_KIND, REAL}),
        (first + b"\n" + TRADES.encode(), {SAMPLE_KIND, REAL}),
        (first + b"\n" + same_hour, {SAMPLE_KIND, REAL}),
        (same_hour, {REAL}),
        (first + b"\n" + SIMULATED_EVENT.encode(), {SAMPLE_KIND, SIMULATED}),
        (first + b"\n" + REAL_EVENT.encode(), {SAMPLE_KIND, REAL}),
    ):
        path.write_bytes(text)
        assert kinds_of(path) == kinds


def test_feed_with_logs_of_two_kinds_is_refused(tmp_path: Path) -> None:
    """In one log or in several; the error names each kind and a log of it."""
    mixed, simulated, real = (tmp_path / name for name in ("both.tsv", "made.tsv.gz", "real.tsv"))
    mixed.write_text(SIMULATED_EVENT + REAL_EVENT)
    simulated.write_bytes(gzip.compress(SIMULATED_EVENT.encode()))
    real.write_text(TRADES)
    for feed in ((mixed,), (simulated, real), (SAMPLE, real), (simulated, SAMPLE)):
        with pytest.raises(SettingsError, match="takes logs of one kind") as error:
            kind_of(replace(load({}), feed=feed))
        assert str(error.value).startswith("CANDLEWAX_FEED: ")
        assert all(str(path) in str(error.value) for path in feed)
        assert sum(text in str(error.value) for text in KIND_TEXTS.values()) == 2
    assert kind_of(replace(load({}), feed=(simulated, simulated))) == SIMULATED


def test_kind_of_a_damaged_log_follows_its_readable_part(tmp_path: Path) -> None:
    """The replay reports the damage itself."""
    path = tmp_path / "cut.tsv.gz"
    path.write_bytes(gzip.compress((SIMULATED_EVENT + TRADES).encode())[:-20])
    assert kinds_of(path) == {SIMULATED}
    path.write_bytes(b"no gzip")
    assert kinds_of(path) == {REAL}
    assert kinds_of(tmp_path / "none.tsv") == {REAL}
