"""Places of trades among the frames that tell of connections."""

import json
from dataclasses import replace

from tests.support.decoding import RECEIVED_NS, read


def trade(number: int) -> str:
    """Return a frame of a trade."""
    return json.dumps(
        {
            "e": "trade", "E": 1, "s": "BTCUSDT", "t": number, "p": "5", "q": "1",
            "T": RECEIVED_NS // 1_000_000, "m": True, "M": True,
        }
    )  # fmt: skip


def test_trades_of_own_frames_keep_their_rows() -> None:
    decoded = read("binance", "{}", trade(1), trade(2))
    assert decoded.placed_trades["row"].to_list() == [1, 2]


def test_trades_of_a_shard_are_placed_among_all_frames_by_receipt() -> None:
    """A shard has its own frames, and all frames of the batch tell of connections."""
    texts = [trade(1), '{"candlewax":"refused"}', trade(2), trade(3)]
    times = [RECEIVED_NS + 1_000_000 * place for place in range(len(texts))]
    parts = [read("binance", text, recv_ns=time) for text, time in zip(texts, times, strict=True)]
    heard = parts[0].bronze.vstack(parts[1].bronze).vstack(parts[2].bronze).vstack(parts[3].bronze)
    places = [replace(part, heard=heard).placed_trades["row"].to_list() for part in parts]
    assert places == [[0], [], [2], [3]]
