"""Frame logs: valid lines, escapes, and dead letters of invalid lines."""

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
def test_written_lines_read_back_as_the_same_frames(
    lines: list[tuple[int, str, str, int, str]],
) -> None:
    """For any text of a frame."""
    data = "".join(frame_log.format_line(*line) for line in lines).encode()
    chunk = frame_log.read(data, "a.tsv", 0)
    expected = [
        (number, exchange, recv_ns, connection, seq, frame)
        for number, (recv_ns, exchange, connection, seq, frame) in enumerate(lines)
    ]
    assert chunk.frames.rows() == expected
    assert chunk.dead_letters.is_empty()


def test_frame_with_quotes_and_braces_needs_no_escape() -> None:
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
    """A backslash escapes one following character; before any other character it stays."""
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
def test_invalid_line_is_a_dead_letter_and_its_neighbours_are_read(
    line: bytes, reason: str
) -> None:
    """The dead letter holds the whole line, its offset and the reason."""
    chunk = frame_log.read(GOOD + line + b"\n" + GOOD, "logs/a.tsv", 100)
    assert chunk.frames["line"].to_list() == [0, 2]
    assert dict(chunk.dead_letters.schema) == dict(pl.DataFrame(schema=DEAD_LETTERS).schema)
    letter = chunk.dead_letters.row(0, named=True)
    assert chunk.dead_letters.height == 1
    assert (letter["source"], letter["source_offset"]) == ("logs/a.tsv", 101)
    assert (letter["reason"], letter["frame"]) == (reason, line)
    assert (letter["scope"], letter["exchange"], letter["detail"] != "") == (SCOPE_LINE, "", True)


def test_line_with_empty_frame_is_read() -> None:
    assert rows(b"1\tb\tc\t2\t\n") == [(0, "b", 1, "c", 2, "")]


def test_last_line_without_newline_is_read() -> None:
    assert [row[-1] for row in rows(b"1\tb\tc\t2\tx\n1\tb\tc\t3\ty")] == ["x", "y"]


def test_carriage_return_is_part_of_the_frame() -> None:
    """Only a newline ends a line."""
    assert rows(b"1\tb\tc\t2\tx\r\n")[0][-1] == "x\r"


@given(st.lists(st.one_of(st.just(GOOD[:-1]), st.binary(max_size=30)), max_size=60))
def test_every_line_is_a_frame_or_a_dead_letter_for_any_bytes(lines: list[bytes]) -> None:
    """Each line is counted once, at its offset."""
    text = b"\n".join([*lines, GOOD])
    chunk = frame_log.read(text, "a.tsv", 0)
    numbers = chunk.frames["line"].to_list() + chunk.dead_letters["source_offset"].to_list()
    assert sorted(numbers) == list(range(text.count(b"\n")))
    split = text.split(b"\n")
    for number, line in chunk.dead_letters.select("source_offset", "frame").iter_rows():
        assert split[number] == line


@given(st.lists(st.sampled_from([GOOD, b"bad\n", b"1\tb\tc\t2\t\\t\n", b"\n"]), min_size=1))
def test_log_read_line_by_line_equals_log_read_at_once(lines: list[bytes]) -> None:
    whole = frame_log.read(b"".join(lines), "a.tsv", 0)
    single = [frame_log.read(line, "a.tsv", number) for number, line in enumerate(lines)]
    frames = [chunk.frames.drop("line") for chunk in single]
    assert whole.frames.drop("line").equals(pl.concat(frames))
    assert whole.dead_letters.equals(pl.concat([chunk.dead_letters for chunk in single]))


def test_lines_after_an_invalid_one_keep_their_numbers_in_a_large_log() -> None:
    chunk = frame_log.read(GOOD * 5000 + b"bad\n" + GOOD * 5000, "a.tsv", 0)
    assert chunk.frames["line"].to_list() == [n for n in range(10_001) if n != 5000]
    assert chunk.dead_letters["source_offset"].to_list() == [5000]
