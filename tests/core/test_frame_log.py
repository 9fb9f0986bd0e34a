"""Frame logs: what a line is, and what becomes of a line that is none."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core import frame_log
from candlewax.core.schema import DEAD_LETTERS, SCOPE_LINE

GOOD = b'1721347201288432323\tbinance\tbinance-0\t7\t{"e":"trade"}\n'

LINE = st.tuples(
    st.integers(0, 2**63 - 1), st.text(), st.text(), st.integers(0, 2**64 - 1), st.text()
)


def rows(data: bytes) -> list[tuple[Any, ...]]:
    return frame_log.read(data, "a.tsv", 0).frames.rows()


@given(st.lists(LINE, min_size=1, max_size=20))
def test_what_is_written_is_read(lines: list[tuple[int, str, str, int, str]]) -> None:
    """Whatever text a frame holds, a log gives it back."""
    data = "".join(frame_log.format_line(*line) for line in lines).encode()
    chunk = frame_log.read(data, "a.tsv", 0)
    expected = [
        (number, exchange, recv_ns, connection, seq, frame)
        for number, (recv_ns, exchange, connection, seq, frame) in enumerate(lines)
    ]
    assert chunk.frames.rows() == expected
    assert chunk.dead_letters.is_empty()


def test_a_frame_is_kept_as_it_was_sent() -> None:
    """Quotes and braces need no escape in a log."""
    assert rows(GOOD) == [(0, "binance", 1721347201288432323, "binance-0", 7, '{"e":"trade"}')]


@pytest.mark.parametrize(
    ("escaped", "frame"),
    [
        (r"a\\tb", r"a\tb"),
        (r"a\tb", "a\tb"),
        (r"\\\\n", r"\\n"),
        (r"\r\n", "\r\n"),
        (r"\b\f\0\'", "\b\f\0'"),
        (r"\x", r"\x"),
        ("\\", "\\"),
    ],
)
def test_escapes_are_read_from_left_to_right(escaped: str, frame: str) -> None:
    """A backslash escapes what follows it, once; before anything else it stays."""
    assert rows(f"1\tb\tc\t2\t{escaped}\n".encode())[0][-1] == frame


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "bad_line"),
        (b"garbage", "bad_line"),
        (b"1\tb\tc\t2", "bad_line"),
        (b"1\tb\tc\t2\tx\ty", "bad_line"),
        (b"-1\tb\tc\t2\tx", "bad_line"),
        (b"1.0\tb\tc\t2\tx", "bad_line"),
        (b"\tb\tc\t2\tx", "bad_line"),
        (b"9223372036854775808\tb\tc\t2\tx", "bad_line"),
        (b"1\tb\tc\t18446744073709551616\tx", "bad_line"),
        (b"1\tb\tc\t-2\tx", "bad_line"),
        (b"1\tb\tc\t2\t\xff\xfe", "not_utf8"),
        (b"1\tb\t\xe2\x28\tc\t2\tx", "bad_line"),
        (b"1\tb\t\xe2\x28\t2\tx", "not_utf8"),
    ],
)
def test_a_line_that_is_none_becomes_a_letter_and_harms_no_other(line: bytes, reason: str) -> None:
    """A bad line is kept whole with its place and the reason; its neighbours are read."""
    chunk = frame_log.read(GOOD + line + b"\n" + GOOD, "logs/a.tsv", 100)
    assert chunk.frames["line"].to_list() == [0, 2]
    assert dict(chunk.dead_letters.schema) == dict(pl.DataFrame(schema=DEAD_LETTERS).schema)
    letter = chunk.dead_letters.row(0, named=True)
    assert chunk.dead_letters.height == 1
    assert (letter["source"], letter["source_offset"]) == ("logs/a.tsv", 101)
    assert (letter["reason"], letter["frame"]) == (reason, line)
    assert (letter["scope"], letter["exchange"], letter["detail"] != "") == (SCOPE_LINE, "", True)


def test_an_empty_frame_is_a_frame() -> None:
    """A line with five fields is a frame, even if the frame holds no text."""
    assert rows(b"1\tb\tc\t2\t\n") == [(0, "b", 1, "c", 2, "")]


def test_the_last_line_may_lack_its_newline() -> None:
    """The end of a log ends its last line."""
    assert [row[-1] for row in rows(b"1\tb\tc\t2\tx\n1\tb\tc\t3\ty")] == ["x", "y"]


def test_a_carriage_return_belongs_to_the_frame() -> None:
    """Only a newline ends a line."""
    assert rows(b"1\tb\tc\t2\tx\r\n")[0][-1] == "x\r"


@given(st.lists(st.one_of(st.just(GOOD[:-1]), st.binary(max_size=30)), max_size=60))
def test_every_line_ends_as_a_frame_or_as_a_letter(lines: list[bytes]) -> None:
    """Whatever bytes a log holds, each line is accounted for once, in its place."""
    text = b"\n".join([*lines, GOOD])
    chunk = frame_log.read(text, "a.tsv", 0)
    numbers = chunk.frames["line"].to_list() + chunk.dead_letters["source_offset"].to_list()
    assert sorted(numbers) == list(range(text.count(b"\n")))
    split = text.split(b"\n")
    for number, line in chunk.dead_letters.select("source_offset", "frame").iter_rows():
        assert split[number] == line


@given(st.lists(st.sampled_from([GOOD, b"bad\n", b"1\tb\tc\t2\t\\t\n", b"\n"]), min_size=1))
def test_lines_mean_the_same_wherever_they_are_cut(lines: list[bytes]) -> None:
    """Reading line by line gives what reading all at once gives."""
    whole = frame_log.read(b"".join(lines), "a.tsv", 0)
    single = [frame_log.read(line, "a.tsv", number) for number, line in enumerate(lines)]
    frames = [chunk.frames.drop("line") for chunk in single]
    assert whole.frames.drop("line").equals(pl.concat(frames))
    assert whole.dead_letters.equals(pl.concat([chunk.dead_letters for chunk in single]))


def test_a_bad_line_in_a_large_log_costs_no_other_its_place() -> None:
    """Lines around a bad one are still counted from the first."""
    chunk = frame_log.read(GOOD * 5000 + b"bad\n" + GOOD * 5000, "a.tsv", 0)
    assert chunk.frames["line"].to_list() == [n for n in range(10_001) if n != 5000]
    assert chunk.dead_letters["source_offset"].to_list() == [5000]
