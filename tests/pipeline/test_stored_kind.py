"""A database of an older release, without a stored kind."""

import json
from collections.abc import Iterable
from pathlib import Path

import polars as pl
import pytest
from bytewax.testing import TestingSource, run_main

from candlewax.clickhouse.client import Database, DatabaseError
from candlewax.core import frame_log
from candlewax.core.frames import FrameBatch, SourceItem
from candlewax.core.kind_marks import KIND_TEXTS, REAL, SAMPLE_KIND, SIMULATED
from candlewax.core.schema import FRAMES
from candlewax.data import SAMPLE
from candlewax.feeds.replay.log_reader import blocks
from candlewax.pipeline import builder
from candlewax.pipeline.data_kind import claim, stored_kind
from candlewax.runtime.counters import Counters
from dataflows import ohlcv
from tests.support.decoding import INSTRUMENTS

pytestmark = pytest.mark.slow("databases of their own", seconds=10)

HERE = Path("/here")

LINES = b"".join(blocks(SAMPLE, lambda _: None)).splitlines(keepends=True)


def sample(*exchanges: str) -> list[SourceItem]:
    """A part of the sample, of some exchanges."""
    frames_ = frame_log.read(b"".join(LINES[60_000:61_000]), "", 0).frames
    return [FrameBatch(name, frames_.filter(exchange=name).select(*FRAMES)) for name in exchanges]


def frames(*texts: str, recv_ns: int = 1_700_000_000_123_456_789) -> FrameBatch:
    """Frames of a connection to Binance."""
    rows = [(recv_ns + n, "binance-0", n, text) for n, text in enumerate(texts)]
    return FrameBatch("binance", pl.DataFrame(rows, schema=FRAMES, orient="row"))


def event(**facts: str) -> str:
    return json.dumps({"candlewax": "connected", **facts}, separators=(",", ":"))


def trade(number: int) -> str:
    return (
        f'{{"e":"trade","E":1699999999000,"s":"BTCUSDT","t":{number},"p":"35000","q":"1",'
        '"T":1699999999000,"m":true}'
    )


def fill(tables: Database, feeds: Iterable[SourceItem]) -> None:
    """Store frames as a release without kinds did."""
    components = builder.build_components(
        TestingSource(list(feeds)), INSTRUMENTS, INSTRUMENTS.exchanges, tables, Counters()
    )
    run_main(ohlcv.build(components))


MADE = event(url="ws://127.0.0.1:8765", made="simulator")
FOREIGN = event(url="ws://127.0.0.1:8765")
GENUINE = event(url="wss://data-stream.binance.vision")

FILLED: dict[str, tuple[list[SourceItem], str, str]] = {
    "sample": (sample("binance", "kraken", "coinbase"), SAMPLE_KIND, "as all in it says"),
    "sample's Kraken": (sample("kraken"), SAMPLE_KIND, "as all in it says"),
    "simulator": ([frames(MADE, trade(1))], SIMULATED, "as all in it says"),
    "own address": ([frames(GENUINE, trade(1))], REAL, "as all in it says"),
    "no event": ([frames(trade(1))], REAL, "as all in it says"),
    "no trade": ([frames("{}")], REAL, "nothing says so"),
    "other address": (
        [frames(FOREIGN, trade(1))],
        REAL,
        "nothing says what answered at ws://127.0.0.1:8765",
    ),
    "sample and real": (
        [*sample("binance"), frames(GENUINE, trade(1))],
        REAL,
        f"{KIND_TEXTS[SAMPLE_KIND]} and {KIND_TEXTS[REAL]} lie beside each other",
    ),
    "simulator and real": (
        [frames(MADE, trade(1)), frames(GENUINE, trade(2), recv_ns=1_700_000_100_000_000_000)],
        REAL,
        f"{KIND_TEXTS[SIMULATED]} and {KIND_TEXTS[REAL]} lie beside each other",
    ),
    "sample and simulator": (
        [*sample("coinbase"), frames(MADE, trade(1))],
        SIMULATED,
        f"{KIND_TEXTS[SIMULATED]} and {KIND_TEXTS[SAMPLE_KIND]} lie beside each other",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILLED)
def test_kind_of_an_older_database_follows_from_its_rows(
    tables: Database, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """One line logs the kind and the reason. Another kind is refused then."""
    feeds, kind, reason = FILLED[name]
    fill(tables, feeds)
    assert stored_kind(tables) == ""
    other = REAL if kind != REAL else SAMPLE_KIND
    with pytest.raises(DatabaseError, match=f"holds {KIND_TEXTS[kind]}"):
        claim(tables, HERE, "market", other)
    messages = [record.message for record in caplog.records if "taken for" in record.message]
    assert len(messages) == 1
    assert messages[0].endswith(f"it is taken for {KIND_TEXTS[kind]}: {reason}")
    claim(tables, HERE, "market", kind)
    assert stored_kind(tables) == kind


def test_empty_database_has_no_kind(tables: Database, caplog: pytest.LogCaptureFixture) -> None:
    """The first process decides, and no message is logged."""
    claim(tables, HERE, "market", SIMULATED)
    assert stored_kind(tables) == SIMULATED
    assert "taken for" not in caplog.text
