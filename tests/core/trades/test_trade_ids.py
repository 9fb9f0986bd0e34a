"""Kinds of trade ids: numbers, the exchange's own ids, and ids made of the content."""

from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from candlewax.core.trades.decode import DecodedFrames
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.kraken import V2, V2_TRADE, read_frame
from candlewax.exchanges.protocol.dialect import Reading, TradeIds
from candlewax.exchanges.protocol.fields import TEXT, Field, try_read
from tests.support.decoding import read

SHAPE = {**V2_TRADE, "trade_id": Field(TEXT)}


def decoded(kind: TradeIds, *ids: str, few: int) -> DecodedFrames:
    """Read one frame of Kraken with trades of these ids, as if ids were of this kind."""
    dialect = replace(V2, shape=SHAPE, trade_ids=kind)

    def read_texts(frame: Any) -> Reading:
        assert read_frame(frame)
        return dialect, [try_read(trade, SHAPE) for trade in frame["data"]]

    rows = ",".join(
        '{"symbol":"BTC/USD","side":"buy","price":1,"qty":1,"ord_type":"limit",'
        f'"trade_id":"{name}","timestamp":"2026-09-15T12:00:07Z"}}'
        for name in ids
    )
    exchange = replace(EXCHANGES["kraken"], read=read_texts, layouts=())
    with mock.patch.dict(EXCHANGES, kraken=exchange):
        return read("kraken", f'{{"channel":"trade","type":"update","data":[{rows}]}}', few=few)


@pytest.mark.parametrize("few", [0, 10], ids=["columns", "rows"])
@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (TradeIds.NUMBERED, [("7", 7), ("7", 7), ("8", 8)]),
        (TradeIds.UNIQUE, [("7", 0), ("7", 0), ("e3c0-x", 0), ("8", 0)]),
        (TradeIds.CONTENT, [("7", 0), ("7#1", 0), ("e3c0-x", 0), ("", 0), ("8", 0)]),
    ],
)
def test_kind_of_ids_decides_on_numbers_and_equal_trades(
    kind: TradeIds, stored: list[tuple[str, int]], few: int
) -> None:
    """Only numbers become sequences; equal ids of one frame are kept apart only if of content."""
    result = decoded(kind, "7", "7", "e3c0-x", "", "8", few=few)
    assert result.trades.select("trade_id", "sequence").rows() == stored
    details = {
        TradeIds.NUMBERED: [
            f"expected a whole number below 2^64, got {x}" for x in ("e3c0-x", '""')
        ],
        TradeIds.UNIQUE: ['expected an id, got ""'],
        TradeIds.CONTENT: [],
    }
    assert result.dead_letters["detail"].to_list() == details[kind]
