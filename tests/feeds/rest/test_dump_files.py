"""Dump files: pieces of text, time ranges and invalid files."""

import gzip
import zipfile
from pathlib import Path

import pytest

from candlewax.exchanges.binance_rest import DUMP
from candlewax.feeds.rest import dump_files
from candlewax.feeds.rest.backfill import pieces
from candlewax.feeds.rest.dump_files import DumpError
from candlewax.feeds.rest.span_pages import BackfillError, SpanCounts


def test_dump_keeps_lines_of_the_time_range_and_unreadable_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    lines = [f"{n},1,1,1,{1_700_000_000_000 + n},True,True" for n in range(10)]
    path.write_text("\n".join([*lines[:5], "what is this", *lines[5:]]))
    span = 1_700_000_000_003_000, 1_700_000_000_007_000
    counts = SpanCounts()
    (piece,) = pieces([path], DUMP, span, lambda _: None, counts)
    assert counts == SpanCounts(within=4, unreadable=1)
    assert piece == "\n".join([*lines[3:5], "what is this", *lines[5:7]])


def test_gzip_file_is_read_like_its_text(tmp_path: Path) -> None:
    """What is no gzip file, or a part of one, is an error that names it."""
    text = "\n".join(f"{n},1,1,1,{n},True,True" for n in range(1_000))
    path = tmp_path / "BTCUSDT2026-01-01.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    dump_files.check(path, "BTCUSDT")
    assert dump_files.size(path) == len(text)
    assert list(pieces([path], DUMP, None, lambda _: None, SpanCounts())) == [text]
    path.write_bytes(gzip.compress(text.encode())[:-100])
    with pytest.raises(BackfillError, match=path.name):
        list(pieces([path], DUMP, None, lambda _: None, SpanCounts()))
    path.write_text(text)
    with pytest.raises(DumpError, match=path.name):
        dump_files.check(path, "BTCUSDT")


HEADER = "id,price,qty,quote_qty,time,is_buyer_maker"


@pytest.mark.parametrize(
    ("text", "span", "kept", "expected"),
    [
        # Other days: no line is kept, nor is the header.
        (f"{HEADER}\n1,1,1,1,5,true\n", (9_000, 10_000), [], SpanCounts()),
        (f"{HEADER}\r\n1,1,1,1,5,true\r\n\r\n", (9_000, 10_000), [], SpanCounts()),
        (f"{HEADER}\n", None, [], SpanCounts()),
        ("", None, [], SpanCounts()),
        ("1,1,1,1,5,true", None, ["1,1,1,1,5,true"], SpanCounts(1)),
        # Unreadable lines are kept for any time range.
        ("1,1,1,1,soon,true", (9_000, 10_000), ["1,1,1,1,soon,true"], SpanCounts(0, 1)),
        ("oops\n\nno", (9_000, 10_000), ["oops\n\nno"], SpanCounts(0, 2)),
        (f"1,1,1,1,9,true\n{HEADER}", None, [f"1,1,1,1,9,true\n{HEADER}"], SpanCounts(1, 1)),
    ],
)
def test_dump_counts_lines_in_the_time_range_and_unreadable_lines(
    tmp_path: Path,
    text: str,
    span: tuple[int, int] | None,
    kept: list[str],
    expected: SpanCounts,
) -> None:
    """A text without either is dropped."""
    path = tmp_path / "x.csv"
    path.write_text(text)
    counts = SpanCounts()
    assert list(pieces([path], DUMP, span, lambda _: None, counts)) == kept
    assert counts == expected


def test_lines_of_a_dump_without_utf8_count_as_unreadable(tmp_path: Path) -> None:
    """The bytes are kept as dead letters."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\n1,2,3")
    counts = SpanCounts()
    assert list(pieces([path], DUMP, None, lambda _: None, counts)) == [b"\xff\n1,2,3"]
    assert counts == SpanCounts(unreadable=2)


def test_dump_is_split_into_pieces_of_whole_lines(tmp_path: Path) -> None:
    """A piece without valid UTF-8 stays bytes."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\n" * 1000 + b"b\n" * 999 + b"\xff\n" + b"c")
    first, second, third = dump_files.pieces(path, lambda _: None)
    assert first == "\n".join("a" * 1000)
    assert second == b"b\n" * 999 + b"\xff"
    assert third == "c"


@pytest.mark.parametrize("header", ["", "id,price,qty,quote_qty,time,is_buyer_maker\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_dump_with_a_byte_order_mark_keeps_its_first_line(
    tmp_path: Path, header: str, *, packed: bool
) -> None:
    """Only a mark before the first line is dropped."""
    content = b"\xef\xbb\xbf" + f"{header}1,2,3\n\ufeff4,5,6".encode()
    path = tmp_path / ("x.zip" if packed else "x.csv")
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.csv", content)
    else:
        path.write_bytes(content)
    read: list[int] = []
    assert list(dump_files.pieces(path, read.append)) == [f"{header}1,2,3\n\ufeff4,5,6"]
    assert sum(read) == dump_files.size(path) == len(content)


def test_damaged_dump_raises_after_its_readable_pieces(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.csv", "1,2,3\n" * 3000)
    content = bytearray(path.read_bytes())
    content[15_000] ^= 0xFF
    path.write_bytes(bytes(content))
    texts = pieces([path], DUMP, None, lambda _: None, SpanCounts())
    assert next(texts)
    with pytest.raises(BackfillError, match=r"x\.zip: damaged"):
        list(texts)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("no.csv", None, "there is no such file"),
        ("x.txt", b"", "a dump is a .csv"),
        ("x.zip", b"PK nonsense", "cannot be read"),
        ("ETHUSDT-trades-2026-01-01.csv", b"", "trades of ETHUSDT, not as trades of BTCUSDT"),
        ("BTCUSDT-aggTrades-2026-01-01.csv", b"", "named as aggTrades of BTCUSDT"),
    ],
)
def test_invalid_dump_file_is_refused_by_name_and_reason(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    """Before the run starts."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DumpError, match=reason) as error:
        dump_files.check(path, "BTCUSDT")
    assert str(path) in str(error.value)


def test_zip_with_two_files_is_refused(tmp_path: Path) -> None:
    """Their order would be unknown."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "")
        archive.writestr("b.csv", "")
    with pytest.raises(DumpError, match=r"holds 2 files \.csv"):
        dump_files.check(path, "BTCUSDT")
