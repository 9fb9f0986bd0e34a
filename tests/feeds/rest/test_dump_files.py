"""Dump files as text: pieces, spans, and files that are none."""

import zipfile
from pathlib import Path

import pytest

from candlewax.exchanges.binance_rest import DUMP
from candlewax.feeds.rest import dump_files
from candlewax.feeds.rest.backfill import pieces
from candlewax.feeds.rest.dump_files import DumpError
from candlewax.feeds.rest.span_pages import BackfillError, SpanCounts


def test_a_dump_is_cut_to_a_span(tmp_path: Path) -> None:
    """Lines outside are left out; those that cannot be read never are."""
    path = tmp_path / "x.csv"
    lines = [f"{n},1,1,1,{1_700_000_000_000 + n},True,True" for n in range(10)]
    path.write_text("\n".join([*lines[:5], "what is this", *lines[5:]]))
    span = 1_700_000_000_003_000, 1_700_000_000_007_000
    found = SpanCounts()
    (piece,) = pieces([path], DUMP, span, lambda _: None, found)
    assert found == SpanCounts(within=4, unreadable=1)
    assert piece == "\n".join([*lines[3:5], "what is this", *lines[5:7]])


HEADER = "id,price,qty,quote_qty,time,is_buyer_maker"


@pytest.mark.parametrize(
    ("text", "span", "kept", "expected"),
    [
        # Other days: nothing is left, neither of the lines nor of the names above them.
        (f"{HEADER}\n1,1,1,1,5,true\n", (9_000, 10_000), [], SpanCounts()),
        (f"{HEADER}\r\n1,1,1,1,5,true\r\n\r\n", (9_000, 10_000), [], SpanCounts()),
        (f"{HEADER}\n", None, [], SpanCounts()),
        ("", None, [], SpanCounts()),
        ("1,1,1,1,5,true", None, ["1,1,1,1,5,true"], SpanCounts(1)),
        # What is no trade stays, whatever is asked for.
        ("1,1,1,1,soon,true", (9_000, 10_000), ["1,1,1,1,soon,true"], SpanCounts(0, 1)),
        ("oops\n\nno", (9_000, 10_000), ["oops\n\nno"], SpanCounts(0, 2)),
        (f"1,1,1,1,9,true\n{HEADER}", None, [f"1,1,1,1,9,true\n{HEADER}"], SpanCounts(1, 1)),
    ],
)
def test_lines_of_a_span_are_counted(
    tmp_path: Path,
    text: str,
    span: tuple[int, int] | None,
    kept: list[str],
    expected: SpanCounts,
) -> None:
    """And those that cannot be read; a text without either is dropped."""
    path = tmp_path / "x.csv"
    path.write_text(text)
    found = SpanCounts()
    assert list(pieces([path], DUMP, span, lambda _: None, found)) == kept
    assert found == expected


def test_bytes_that_are_no_text_are_counted_as_unread(tmp_path: Path) -> None:
    """They are kept as dead letters."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\n1,2,3")
    found = SpanCounts()
    assert list(pieces([path], DUMP, None, lambda _: None, found)) == [b"\xff\n1,2,3"]
    assert found == SpanCounts(unreadable=2)


def test_a_dump_comes_in_pieces(tmp_path: Path) -> None:
    """Of whole lines; what is no UTF-8 as it is."""
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
    """Only the mark before the first line is dropped; one further on is content."""
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


def test_a_damaged_dump_says_so(tmp_path: Path) -> None:
    """After what could be read."""
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
    ("name", "content", "why"),
    [
        ("no.csv", None, "there is no such file"),
        ("x.txt", b"", "a dump is a .csv"),
        ("x.zip", b"PK nonsense", "cannot be read"),
        ("ETHUSDT-trades-2026-01-01.csv", b"", "trades of ETHUSDT, not as trades of BTCUSDT"),
        ("BTCUSDT-aggTrades-2026-01-01.csv", b"", "named as aggTrades of BTCUSDT"),
    ],
)
def test_files_that_are_no_dumps(
    tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    """Each is named, before anything starts."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DumpError, match=why) as error:
        dump_files.check(path, "BTCUSDT")
    assert str(path) in str(error.value)


def test_a_zip_holds_one_file(tmp_path: Path) -> None:
    """Not two, whose order nobody knows."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "")
        archive.writestr("b.csv", "")
    with pytest.raises(DumpError, match=r"holds 2 files \.csv"):
        dump_files.check(path, "BTCUSDT")
