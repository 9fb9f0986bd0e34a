"""Which exchanges are asked by REST."""

from pathlib import Path

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.pipeline.sources import rest_endpoints
from candlewax.runtime.settings import load

ROOT = Path(__file__).parents[2]
URL = "http://127.0.0.1:1/kraken"


@pytest.mark.parametrize(
    ("settings", "real", "expected"),
    [
        ({}, True, {"binance": None, "kraken": None}),
        ({}, False, {}),
        ({"KRAKEN_REST_URL": URL}, False, {"kraken": URL}),
        ({"KRAKEN_REST_URL": URL}, True, {"binance": None, "kraken": URL}),
        ({"KRAKEN_URL": "ws://127.0.0.1:1/v2"}, True, {"binance": None}),
        ({"KRAKEN_URL": "ws://127.0.0.1:1/v2", "KRAKEN_REST_URL": URL}, False, {"kraken": URL}),
    ],
)
def test_rest_is_asked_only_where_it_may_be(
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    real: bool,
    expected: dict[str, str | None],
) -> None:
    """A real exchange never about what a simulator or a recording numbered."""
    monkeypatch.chdir(ROOT)
    chosen = load({f"CANDLEWAX_{name}": text for name, text in settings.items()}, Path("none"))
    found = rest_endpoints(chosen, ["binance", "kraken"], real=real)
    assert {exchange: how.url for exchange, how in found.items()} == expected
    assert all(how.rest is EXCHANGES[exchange].rest for exchange, how in found.items())


def test_key_is_sent_to_its_exchange_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """And to no other; it is not shown."""
    monkeypatch.chdir(ROOT)
    chosen = load({"CANDLEWAX_BINANCE_KEY": "secret"}, Path("none"))
    found = rest_endpoints(chosen, ["binance", "kraken"], real=True)
    assert (found["binance"].key, found["kraken"].key) == ("secret", None)
    assert "secret" not in repr(found)
