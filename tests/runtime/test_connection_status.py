"""ConnectionStatus: the open connections of a live feed."""

from candlewax.runtime.connection_status import CONNECTED, DISCONNECTED, ConnectionStatus


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_feed_is_a_problem_until_each_connection_is_open() -> None:
    """Before its connections are registered, and before each is connected."""
    feeds = ConnectionStatus()
    assert feeds.problem("kraken", 60) == "not connected yet"
    first, second = feeds.register("kraken", "kraken-0"), feeds.register("kraken", "kraken-1")
    first(CONNECTED)
    assert feeds.problem("kraken", 60) == "kraken-1 has not been connected yet"
    second(CONNECTED)
    assert feeds.problem("kraken", 60) is None


def test_silent_open_connection_is_no_problem() -> None:
    """A market may be paused for a day."""
    clock = Clock()
    feeds = ConnectionStatus(clock)
    feeds.register("kraken", "kraken-0")(CONNECTED)
    clock.now += 86_400
    assert feeds.problem("kraken", 60) is None


def test_lost_connection_is_a_problem_after_a_limit() -> None:
    """Until it is connected again."""
    clock = Clock()
    feeds = ConnectionStatus(clock)
    report_event = feeds.register("kraken", "kraken-0")
    report_event(CONNECTED)
    report_event(DISCONNECTED)
    clock.now += 60
    assert feeds.problem("kraken", 60) is None
    clock.now += 15
    problem = "kraken-0 has had no connection for 75 s, the limit is 60 s"
    assert feeds.problem("kraken", 60) == problem
    report_event("failed")
    assert feeds.problem("kraken", 60) == problem
    report_event(CONNECTED)
    assert feeds.problem("kraken", 60) is None


def test_replaced_connection_is_no_problem() -> None:
    """The new one opens before the old one closes, and counts as a reconnect."""
    clock = Clock()
    feeds = ConnectionStatus(clock)
    report_event = feeds.register("binance", "binance-0")
    for event in (CONNECTED, "rotating", CONNECTED, DISCONNECTED):
        report_event(event)
        clock.now += 100
    assert feeds.problem("binance", 60) is None
    assert feeds.counts() == {"binance": (1, 1, 1)}


def test_connections_are_counted_by_exchange() -> None:
    """Wanted ones, open ones, and reconnects."""
    feeds = ConnectionStatus()
    events = {
        ("binance", "binance-0"): [CONNECTED, DISCONNECTED, CONNECTED],
        ("binance", "binance-1"): [CONNECTED, DISCONNECTED],
        ("kraken", "kraken-0"): ["failed"],
    }
    for (exchange, name), events_ in events.items():
        report_event = feeds.register(exchange, name)
        for event in events_:
            report_event(event)
    assert feeds.counts() == {"binance": (2, 1, 1), "kraken": (1, 0, 0)}
    assert feeds.problem("binance", 60) is None
    assert feeds.problem("kraken", 60) == "kraken-0 has not been connected yet"
