"""Dump files as text: pieces, spans, and files that are none."""

import zipfile
from pathlib import Path

import pytest

from candlewax.connectors import _dumps
from candlewax.connectors._dumps import DumpError
from candlewax.connectors.backfill import BackfillError, pieces
from candlewax.exchanges.binance_rest import DUMP


def test_a_dump_is_cut_to_a_span(tmp_path: Path) -> None:
    """Lines outside are left out; those that cannot be read never are."""
    path = tmp_path / "x.csv"
    lines = [f"{n},1,1,1,{1_700_000_000_000 + n},True,True" for n in range(10)]
    path.write_text("\n".join([*lines[:5], "what is this", *lines[5:]]))
    span = 1_700_000_000_003_000, 1_700_000_000_007_000
    (piece,) = pieces([path], DUMP, span, lambda _: None)
    assert piece == "\n".join([*lines[3:5], "what is this", *lines[5:7]])


def test_a_dump_comes_in_pieces(tmp_path: Path) -> None:
    """Of whole lines; what is no UTF-8 as it is."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\n" * 1000 + b"b\n" * 999 + b"\xff\n" + b"c")
    first, second, third = _dumps.pieces(path, lambda _: None)
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
    assert list(_dumps.pieces(path, read.append)) == [f"{header}1,2,3\n\ufeff4,5,6"]
    assert sum(read) == _dumps.size(path) == len(content)


def test_a_damaged_dump_says_so(tmp_path: Path) -> None:
    """After what could be read."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.csv", "1,2,3\n" * 3000)
    content = bytearray(path.read_bytes())
    content[15_000] ^= 0xFF
    path.write_bytes(bytes(content))
    texts = pieces([path], DUMP, None, lambda _: None)
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
        _dumps.check(path, "BTCUSDT")
    assert str(path) in str(error.value)


def test_a_zip_holds_one_file(tmp_path: Path) -> None:
    """Not two, whose order nobody knows."""
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "")
        archive.writestr("b.csv", "")
    with pytest.raises(DumpError, match=r"holds 2 files \.csv"):
        _dumps.check(path, "BTCUSDT")
