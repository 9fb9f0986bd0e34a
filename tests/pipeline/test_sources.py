"""The exchanges that are requested by REST."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from candlewax.clickhouse.client import Database
from candlewax.exchanges import EXCHANGES
from candlewax.pipeline.process import ProcessContext
from candlewax.pipeline.sources import reconcilers, rest_endpoints, trade_endpoints
from candlewax.runtime.counters import Counters
from candlewax.runtime.settings import load
from tests.support.playing import INSTRUMENTS

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
def test_only_exchanges_of_the_data_are_requested(
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    real: bool,
    expected: dict[str, str | None],
) -> None:
    """A real exchange is not requested about numbers of a simulator or a recording."""
    monkeypatch.chdir(ROOT)
    settings_ = load({f"CANDLEWAX_{name}": text for name, text in settings.items()}, Path("none"))
    endpoints = rest_endpoints(settings_, ["binance", "kraken"], real=real)
    assert {exchange: endpoint.url for exchange, endpoint in endpoints.items()} == expected
    assert all(
        endpoint.rest is EXCHANGES[exchange].rest for exchange, endpoint in endpoints.items()
    )


def test_key_is_sent_to_its_exchange_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not shown."""
    monkeypatch.chdir(ROOT)
    settings_ = load({"CANDLEWAX_BINANCE_KEY": "secret"}, Path("none"))
    endpoints = rest_endpoints(settings_, ["binance", "kraken"], real=True)
    assert (endpoints["binance"].key, endpoints["kraken"].key) == ("secret", None)
    assert "secret" not in repr(endpoints)


def test_trades_are_requested_only_where_rest_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are asked for their candles alone."""
    monkeypatch.chdir(ROOT)
    settings = load({}, Path("none"))
    names = ["okx", "bybit", "bybit_linear"]
    assert list(rest_endpoints(settings, names, real=True)) == names
    assert list(trade_endpoints(settings, names, real=True)) == ["okx"]


@pytest.mark.parametrize(
    ("reconcile", "is_finite", "names"),
    [(True, False, {"binance", "kraken"}), (False, False, set()), (True, True, set())],
)
def test_candles_are_compared_beside_filling_gaps(
    *, reconcile: bool, is_finite: bool, names: set[str]
) -> None:
    """Unless the setting says no, and never by a run that ends."""
    settings = replace(load({}, Path("none")), reconcile=reconcile)
    process = ProcessContext(INSTRUMENTS, ("binance", "kraken"), Counters())
    build = reconcilers(
        settings, process, cast("Database", None), ["binance", "kraken"], is_finite=is_finite
    )
    assert {name for name in ("binance", "kraken") if build(name)} == names


def test_exchange_without_candles_is_named_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its candles stay uncompared; those of the others are compared."""
    monkeypatch.setitem(EXCHANGES, "binance", replace(EXCHANGES["binance"], candles=None))
    process = ProcessContext(INSTRUMENTS, ("binance", "kraken"), Counters())
    build = reconcilers(
        load({}, Path("none")),
        process,
        cast("Database", None),
        ["binance", "kraken"],
        is_finite=False,
    )
    assert caplog.messages == ["binance: its candles are not compared: it serves none of its own"]
    assert build("binance") is None
    assert build("kraken") is not None
