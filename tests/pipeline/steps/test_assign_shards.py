"""Assignment of batches to shards: by connection, by market, and never to a foreign process."""

from collections.abc import Sequence
from typing import Final

import pytest

from candlewax.core.frames import FROM_REST, FrameBatch
from candlewax.core.rows.columns import decoded_columns
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.records import Frame
from candlewax.core.shards import Shard, ShardError, ShardPlan
from candlewax.core.trades.decode import DecodedFrames
from candlewax.pipeline.shard_keys import shard_key
from candlewax.pipeline.steps.assign_shards import Decoded, ShardAssigner
from candlewax.pipeline.steps.decode import DecodeStep
from candlewax.runtime.counters import Counters
from tests.support.playing import INSTRUMENTS

# CRC-32 of the symbols, modulo 2: BNB/USDT 0, ETH/USDT 1.
TEXT: Final = (
    '{{"e":"trade","E":1750000000000,"s":"{}","t":7,"p":"1.5","q":"2","T":1750000000000,"m":true}}'
)


def decode(connections: Sequence[tuple[str, str]], plan: ShardPlan) -> list[tuple[str, Decoded]]:
    """Decode a frame of a native symbol for each connection."""
    frames = [
        Frame(1_750_000_001_000_000_000, name, seq, TEXT.format(symbol), name, 0, seq)
        for seq, (name, symbol) in enumerate(connections)
    ]
    step = DecodeStep(INSTRUMENTS, ["binance"], Counters(), plan)
    return step(FrameBatch("binance", rows=frames))


TWO: Final = ShardPlan({"binance": 2})
KEYS: Final = [shard_key("binance", Shard(index, 2)) for index in range(2)]


def test_batch_of_a_connection_to_one_shard_stays_rows() -> None:
    """Nothing is divided, nothing becomes columns."""
    ((key, decoded),) = decode([("binance-1of2-0", "ETHUSDT")] * 2, TWO)
    assert key == KEYS[1]
    assert isinstance(decoded, DecodedRows)
    assert decoded.shard == Shard(1, 2)


def columns(assigned: Sequence[tuple[str, Decoded]]) -> dict[str, DecodedFrames]:
    """The parts of a divided batch by key."""
    return {key: part for key, part in assigned if isinstance(part, DecodedFrames)}


def test_batch_of_a_connection_to_all_markets_is_divided() -> None:
    """Each shard gets its frames, and hears of all."""
    parts = columns(decode([("b0", "BNBUSDT"), ("b0", "ETHUSDT"), ("b0", "BNBUSDT")], TWO))
    assert list(parts) == KEYS
    sizes = [(part.bronze.height, part.trades["row"].to_list()) for part in parts.values()]
    assert sizes == [(2, [0, 1]), (1, [0])]
    assert [part.connection_frames.height for part in parts.values()] == [3, 3]


def test_foreign_market_on_a_connection_goes_to_its_own_shard() -> None:
    """The name of a connection proves nothing of a trade."""
    parts = columns(decode([("binance-1of2-0", "BNBUSDT")], TWO))
    assert [part.trades.height for part in parts.values()] == [1, 0]


def test_response_by_rest_goes_to_the_shard_of_its_market() -> None:
    """Also one without trades."""
    frame = Frame(1, f"{FROM_REST}ETHUSDT", 0, "[]", "rest", 0, 0)
    decoded = DecodedRows("binance", [frame], kinds=[2], counts=[0])
    for form in (decoded, decoded_columns(decoded)):
        ((key, _),) = ShardAssigner(TWO).assign_frames(form, INSTRUMENTS)
        assert key == KEYS[1]


@pytest.mark.parametrize(
    ("connection", "symbol"), [("binance-1of2-0", "ETHUSDT"), ("b0", "BNBUSDT")]
)
def test_process_of_some_shards_refuses_those_of_others(connection: str, symbol: str) -> None:
    """Nobody else would read them."""
    plan = ShardPlan({"binance": 2}, {"binance": frozenset({0})})
    ((key, _),) = decode([("binance-0of2-0", "BNBUSDT")], plan)
    assert key == KEYS[0]
    with pytest.raises(ShardError, match="shard 1 of 2 came to a process that reads other shards"):
        decode([(connection, symbol)], plan)
