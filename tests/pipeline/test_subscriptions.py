"""Recorded subscriptions: only changes, and only of markets that the process reads."""

from candlewax.clickhouse.client import Database
from candlewax.core.instruments import Instrument, Instruments
from candlewax.core.shards import ShardPlan, shard_index
from candlewax.pipeline.process import ProcessContext
from candlewax.pipeline.subscriptions import record_subscriptions
from candlewax.runtime.counters import Counters

SECOND = 1_000_000


def process(
    *symbols: str, exchange: str = "kraken", own_shard: int | None = None
) -> ProcessContext:
    """A process that asks an exchange for markets, or for those of one shard of two."""
    pairs = {symbol: symbol.split("/") for symbol in symbols}
    listed = {symbol: Instrument(symbol, base, quote) for symbol, (base, quote) in pairs.items()}
    instruments = Instruments({exchange: listed}, {exchange: symbols})
    plan = (
        ShardPlan()
        if own_shard is None
        else ShardPlan({exchange: 2}, {exchange: frozenset({own_shard})})
    )
    return ProcessContext(instruments, (exchange,), Counters(), is_live=True, shard_plan=plan)


def spans(tables: Database) -> list[tuple[str, str, int, int]]:
    """Spans in seconds by exchange and symbol; those that go on end with 0."""
    return tables.query(
        "SELECT toString(exchange) AS e, toString(symbol) AS s, toInt64(toUnixTimestamp(began)), "
        "if(ended > '2105-01-01', 0, toInt64(toUnixTimestamp(ended))) FROM subscription_spans "
        "ORDER BY ALL"
    ).rows()


def test_market_is_subscribed_from_its_first_start_until_a_start_without_it(
    tables: Database,
) -> None:
    record_subscriptions(process("BTC/USD", "ETH/USD"), tables, lambda: 10 * SECOND)
    record_subscriptions(process("BTC/USD", "ETH/USD"), tables, lambda: 20 * SECOND)
    assert tables.query("SELECT count() FROM subscriptions").item() == 2
    record_subscriptions(process("BTC/USD"), tables, lambda: 30 * SECOND)
    record_subscriptions(process("BTC/USD", "ETH/USD"), tables, lambda: 40 * SECOND)
    assert spans(tables) == [
        ("kraken", "BTC/USD", 10, 0),
        ("kraken", "ETH/USD", 10, 30),
        ("kraken", "ETH/USD", 40, 0),
    ]


def test_other_exchanges_and_shards_stay_as_they_are(tables: Database) -> None:
    """Other processes ask for their markets."""
    record_subscriptions(process("BTC/USD", exchange="coinbase"), tables, lambda: 10 * SECOND)
    both = ["BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD", "ADA/USD", "DOT/USD"]
    shares = [[one for one in both if shard_index(one, 2) == share] for share in (0, 1)]
    assert all(shares)
    record_subscriptions(process(*both, own_shard=0), tables, lambda: 20 * SECOND)
    record_subscriptions(process(*both, own_shard=1), tables, lambda: 30 * SECOND)
    record_subscriptions(process("DOGE/USD", own_shard=1), tables, lambda: 40 * SECOND)
    kraken = [span for span in spans(tables) if span[0] == "kraken" and span[1] in both]
    assert kraken == [
        ("kraken", symbol, *((20, 0) if symbol in shares[0] else (30, 40)))
        for symbol in sorted(both)
    ]
    assert ("coinbase", "BTC/USD", 10, 0) in spans(tables)
