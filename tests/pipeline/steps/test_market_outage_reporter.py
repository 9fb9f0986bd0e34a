"""Reports of markets that lost their connection."""

from candlewax.core.gaps.market_outages import MarketOutage
from candlewax.pipeline.steps.market_outage_reporter import describe_lost


def test_longest_of_lost_markets_is_named() -> None:
    """With the number of others, if there are some."""
    longest = MarketOutage("BTC/USD", 1_000_000, 0, 23_040_000)
    told = "BTC/USD was without a connection for 22.0 s"
    end = "; no number shows which trades that cost"
    assert describe_lost([longest]) == told + end
    shorter = MarketOutage("ETH/USD", 2_000_000, 0, 3_000_000)
    assert describe_lost([shorter, longest]) == f"{told}, 1 more for at most as long{end}"
