"""Division of markets among connections, and its changes."""

from candlewax.core.shards import WHOLE, Shard
from candlewax.feeds.websocket.shares import Share, divide, rearrange

SIZES = {"binance": 2, "kraken": 2}


def whole(*_: str) -> Shard:
    return WHOLE


def share(*symbols: str, shard: Shard = WHOLE) -> Share:
    return Share("binance", symbols, shard)


def test_exchange_without_markets_has_an_idle_share() -> None:
    """It takes the markets that are added later."""
    shares = divide({"binance": ["A", "B", "C"], "kraken": []}, SIZES, whole)
    assert shares == {
        "binance-0": share("A", "C"),
        "binance-1": share("B"),
        "kraken-idle": Share("kraken", ()),
    }
    assert rearrange(shares, "kraken", ["X"], 2, whole) == {"kraken-0": Share("kraken", ("X",))}


def test_new_markets_fill_connections_before_new_ones_are_opened() -> None:
    """Markets that stay do not move, and connections without a change are left alone."""
    shares = {"binance-0": share("A", "C"), "binance-1": share("B")}
    assert rearrange(shares, "binance", ["D", "E", "A", "B", "C"], 2, whole) == {
        "binance-1": share("B", "D"),
        "binance-2": share("E"),
    }
    assert rearrange(shares, "binance", ["C", "B", "A"], 2, whole) == {}


def test_dropped_share_is_not_used_again() -> None:
    """The numbers of its frames would begin anew under the same name."""
    shares = {"binance-0": share("A"), "binance-1": share("B")}
    dropped = rearrange(shares, "binance", ["B"], 1, whole)
    assert dropped == {"binance-0": share()}
    assert rearrange(shares | dropped, "binance", ["B", "A"], 1, whole) == {"binance-2": share("A")}


def test_market_goes_to_a_connection_of_its_shard() -> None:
    """Or to a new one, whose name tells the shard."""
    odd, even = Shard(1, 2), Shard(0, 2)

    def shard_of(_: str, symbol: str) -> Shard:
        return odd if symbol in "ACE" else even

    shares = divide({"binance": ["A"]}, SIZES, shard_of)
    assert shares == {"binance-1of2-0": share("A", shard=odd)}
    assert rearrange(shares, "binance", ["A", "B", "C"], 2, shard_of) == {
        "binance-0of2-0": share("B", shard=even),
        "binance-1of2-0": share("A", "C", shard=odd),
    }
