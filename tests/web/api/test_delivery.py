"""Answers in parts and compressed, over HTTP."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from candlewax.clickhouse.client import Database
from candlewax.core.batch import Batch
from candlewax.web.delivery import choose_encoding
from tests.support.api_candles import COUNT
from tests.support.web_server import (
    CANDLES,
    MARKET,
    Client,
    Served,
    filled_tables,
    serving,
)
from tests.web.page.test_page import changed

CSV = {**MARKET, "format": "csv"}


@pytest.fixture(scope="module")
def served(engine: Database, engine_path: Path) -> Iterator[Served]:
    """A server over tables to which a test adds."""
    with (
        filled_tables(engine, engine_path, "of_delivery", COUNT) as tables,
        serving(tables, engine_path) as served,
    ):
        yield served


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-9", 0, 9),
        ("bytes=10-", 10, None),
        ("bytes=-7", -7, None),
        ("bytes=5-999999", 5, None),
        ("bytes=-999999", 0, None),
    ],
)
def test_range_is_a_part_of_the_whole(
    client: Client, asked: str, first: int, last: int | None
) -> None:
    """With its place and the size of the whole, under the same tag."""
    whole = client.ask(CANDLES, CSV)
    part = client.ask(CANDLES, CSV, headers={"Range": asked})
    size = len(whole.body)
    begin = first % size
    expected = whole.body[begin : None if last is None else last + 1]
    assert (part.status, part.body) == (206, expected)
    place = f"bytes {begin}-{begin + len(expected) - 1}/{size}"
    assert part.headers["content-range"] == place
    assert part.headers["etag"] == whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("asked", ["bytes=0-1,4-5", "rows=1-2", "bytes=-", "bytes=x"])
def test_header_that_is_no_single_range_is_answered_with_the_whole(
    client: Client, asked: str
) -> None:
    answer = client.ask(CANDLES, CSV, headers={"Range": asked})
    assert (answer.status, answer.body) == (200, client.ask(CANDLES, CSV).body)


@pytest.mark.parametrize("asked", ["bytes=999999-", "bytes=9-8", "bytes=-0"])
def test_range_outside_the_whole_is_refused_with_its_size(client: Client, asked: str) -> None:
    size = len(client.ask(CANDLES, CSV).body)
    answer = client.ask(CANDLES, CSV, headers={"Range": asked})
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{size}")


def test_bad_request_for_a_part_is_refused_as_for_the_whole(client: Client) -> None:
    answer = client.ask(CANDLES, {**CSV, "limit": "0"}, headers={"Range": "bytes=0-1"})
    assert answer.refusal == (400, "bad_parameter", "limit")


def test_all_parts_come_from_one_answer(served: Served) -> None:
    """Also if rows are stored between them. A new tag gets the new rows, whole."""
    ask = served.client.ask
    head = ask(CANDLES, CSV, method="HEAD")
    size, tag = int(head.headers["content-length"]), head.headers["etag"]
    first = ask(CANDLES, CSV, headers={"Range": f"bytes=0-{size // 2 - 1}"})
    served.hub.put([Batch("binance", {"ohlcv": changed(COUNT, "150.5", closed=False)})])
    rest = ask(CANDLES, CSV, headers={"Range": f"bytes={size // 2}-", "If-Range": tag})
    assert (first.status, rest.status) == (206, 206)
    body = first.body + rest.body
    assert len(body) == size
    assert body.count(b"\n") == COUNT + 1
    fresh = ask(CANDLES, CSV, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (fresh.status, fresh.body.count(b"\n")) == (200, COUNT + 2)
    refused = ask(CANDLES, CSV, headers={"Range": "bytes=0-9", "If-Match": '"other"'})
    assert refused.status == 412


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("*", "zstd"),
        ("zstd;q=0, gzip;q=0.1", "gzip"),
        ("br", None),
        ("identity", None),
        ("", None),
        ("gzip;q=high", None),
        ("*;q=0", None),
    ],
)
def test_encoding_is_the_best_that_is_accepted(accepted: str, encoding: str | None) -> None:
    assert choose_encoding(accepted) == encoding


@pytest.mark.parametrize("form", ["json", "csv"])
def test_text_is_compressed_for_clients_that_accept_it(client: Client, form: str) -> None:
    """With a tag of its own, which counts as that of the same rows."""
    asked = {**MARKET, "format": form}
    plain = client.ask(CANDLES, asked)
    assert "content-encoding" not in plain.headers
    for encoding, expand in (
        ("gzip", gzip.decompress),
        ("zstd", zstandard.ZstdDecompressor().decompress),
    ):
        answer = client.ask(CANDLES, asked, headers={"Accept-Encoding": encoding})
        assert answer.headers["content-encoding"] == encoding
        assert "accept-encoding" in answer.headers["vary"].lower()
        assert expand(answer.body) == plain.body
        tag = answer.headers["etag"]
        assert tag != plain.headers["etag"]
        again = client.ask(CANDLES, asked, headers={"If-None-Match": tag})
        assert (again.status, again.body) == (304, b"")


def test_parquet_and_short_answers_are_sent_as_they_are(client: Client) -> None:
    headers = {"Accept-Encoding": "gzip, zstd"}
    parquet = client.ask(CANDLES, {**MARKET, "format": "parquet"}, headers=headers)
    assert parquet.body[:4] == b"PAR1"
    short = client.ask(CANDLES, {**MARKET, "limit": 1}, headers=headers)
    assert len(short.json["data"]) == 1
