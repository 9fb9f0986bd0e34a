"""Which connections of a live feed stand."""

from candlewax.runtime.connection_status import CONNECTED, DISCONNECTED, ConnectionStatus


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_feed_is_not_fresh_before_it_is_connected() -> None:
    """Neither before its shares are known, nor before each has a connection."""
    feeds = ConnectionStatus()
    assert feeds.problem("kraken", 60) == "not connected yet"
    first, second = feeds.register("kraken", "kraken-0"), feeds.register("kraken", "kraken-1")
    first(CONNECTED)
    assert feeds.problem("kraken", 60) == "kraken-1 has not been connected yet"
    second(CONNECTED)
    assert feeds.problem("kraken", 60) is None


def test_a_connection_that_stands_is_fresh_however_long_nothing_comes() -> None:
    """A paused market makes nothing unready."""
    clock = Clock()
    feeds = ConnectionStatus(clock)
    feeds.register("kraken", "kraken-0")(CONNECTED)
    clock.now += 86_400
    assert feeds.problem("kraken", 60) is None


def test_a_lost_connection_is_fresh_for_a_while() -> None:
    """Until it has been away for longer than what counts as fresh, and again once it is back."""
    clock = Clock()
    feeds = ConnectionStatus(clock)
    hear = feeds.register("kraken", "kraken-0")
    hear(CONNECTED)
    hear(DISCONNECTED)
    clock.now += 60
    assert feeds.problem("kraken", 60) is None
    clock.now += 15
    said = "kraken-0 has had no connection for 75 s, the limit is 60 s"
    assert feeds.problem("kraken", 60) == said
    hear("failed")
    assert feeds.problem("kraken", 60) == said
    hear(CONNECTED)
    assert feeds.problem("kraken", 60) is None


def test_while_one_connection_replaces_another_the_share_stands() -> None:
    """The new one begins before the old one ends, and counts as one made again."""
    clock = Clock()
    feeds = ConnectionStatus(clock)
    hear = feeds.register("binance", "binance-0")
    for event in (CONNECTED, "rotating", CONNECTED, DISCONNECTED):
        hear(event)
        clock.now += 100
    assert feeds.problem("binance", 60) is None
    assert feeds.counts() == {"binance": (1, 1, 1)}


def test_connections_are_counted_by_exchange() -> None:
    """Those wanted, those that stand, and those made beyond the first of each."""
    feeds = ConnectionStatus()
    events = {
        ("binance", "binance-0"): [CONNECTED, DISCONNECTED, CONNECTED],
        ("binance", "binance-1"): [CONNECTED, DISCONNECTED],
        ("kraken", "kraken-0"): ["failed"],
    }
    for (exchange, name), some in events.items():
        hear = feeds.register(exchange, name)
        for event in some:
            hear(event)
    assert feeds.counts() == {"binance": (2, 1, 1), "kraken": (1, 0, 0)}
    assert feeds.problem("binance", 60) is None
    assert feeds.problem("kraken", 60) == "kraken-0 has not been connected yet"
