"""Responses of another data kind than the database are refused and not stored."""

from dataclasses import replace
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database
from candlewax.core.kind_marks import KIND_TEXTS, REAL, SIMULATED, SIMULATOR_HEADER, WrongKindError
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.client import Client, RefusalError, RetryPolicy
from candlewax.feeds.rest.span_pages import SpanCounts, pages
from candlewax.pipeline.data_kind import settings_for_kind
from candlewax.pipeline.sources import rest_endpoints
from candlewax.runtime.settings import load
from tests.feeds.rest.test_backfill import store
from tests.support.mending import asked, gaps, hear, markets, mend, played, stored
from tests.support.playing import INSTRUMENTS
from tests.support.processes import candlewax
from tests.support.rest_client import OK_RESPONSE, serving

MARKED = {SIMULATOR_HEADER: "1"}


@pytest.mark.parametrize("expected_kind", [None, False, True])
@pytest.mark.parametrize("simulated", [False, True])
def test_client_accepts_only_responses_of_its_data_kind(
    *, expected_kind: bool | None, simulated: bool
) -> None:
    """Any kind if none is decided; otherwise the error names both kinds and the settings to
    change.
    """
    status, headers, body = OK_RESPONSE
    response = (status, {**headers, **(MARKED if simulated else {})}, body)
    with serving(response) as server:
        client = Client(EXCHANGES["binance"].rest, server.url, is_simulated=expected_kind)
        if expected_kind in (None, simulated):
            assert client.ask("/x").page.numbers == [7]
            return
        with pytest.raises(WrongKindError) as error:
            client.ask("/x")
    message = str(error.value)
    assert KIND_TEXTS[REAL] in message
    assert KIND_TEXTS[SIMULATED] in message
    assert "CANDLEWAX_CLICKHOUSE" in message
    assert "CANDLEWAX_DATABASE" in message


def test_gateway_error_is_no_wrong_kind() -> None:
    """Errors of a gateway have no mark; errors of the simulator have one."""
    rest = EXCHANGES["binance"].rest
    with serving((502, {}, b"bad gateway"), (503, MARKED, b"{}")) as server:
        with pytest.raises(RefusalError):
            Client(rest, server.url, is_simulated=True).ask("/x")
        with pytest.raises(WrongKindError):
            Client(rest, server.url, is_simulated=False).ask("/x")


def test_gap_fill_of_real_data_fails_on_simulator_responses(
    tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Even if the simulator takes the address after the start, nothing is stored."""
    with played() as (simulator, _):
        hear(tables, simulator, "kraken", lambda place, _: place % 20 != 10)
        before, gaps_before = stored(tables, "kraken"), gaps(tables)
        endpoints = {
            name: replace(endpoint, is_simulated=False)
            for name, endpoint in asked(simulator, "kraken").items()
        }
        with pytest.raises(RuntimeError):
            mend(tables, endpoints)
    assert "sends data of the simulator" in caplog.text
    assert stored(tables, "kraken") == before
    assert gaps(tables) == gaps_before


def test_backfill_of_real_data_fails_on_simulator_responses(
    tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither trades nor frames are stored."""
    with played() as (simulator, _):
        (endpoint,) = asked(simulator, "binance").values()
        native, trades = next(iter(markets(simulator, "binance").items()))
        retry_policy = RetryPolicy(first_backoff_s=0.001, max_backoff_s=0.001)
        client = Client(
            endpoint.rest, endpoint.url, endpoint.key, is_simulated=False, retry_policy=retry_policy
        )
        texts = pages(
            client, endpoint.rest, native, (trades[0].time_us, trades[-1].time_us), lambda _: None,
            SpanCounts(),
        )  # fmt: skip
        with pytest.raises(RuntimeError):
            store(tables, "binance", native, texts)
    assert "sends data of the simulator" in caplog.text
    assert stored(tables, "binance") == {}
    assert tables.query("SELECT count() FROM bronze_frames").item() == 0


@pytest.mark.parametrize("kind", [REAL, SIMULATED])
def test_endpoints_require_the_data_kind_of_the_process(tmp_path: Path, kind: str) -> None:
    settings = load({"CANDLEWAX_CLICKHOUSE": str(tmp_path)}, tmp_path / "none")
    endpoints = rest_endpoints(settings_for_kind(settings, kind), INSTRUMENTS.exchanges, real=True)
    assert {endpoint.is_simulated for endpoint in endpoints.values()} == {kind == SIMULATED}


def test_backfill_command_refuses_the_simulator_when_the_database_is_real(tmp_path: Path) -> None:
    """The error names both kinds. An unreachable address decides nothing."""
    dump = tmp_path / "BTCUSDT-trades-2026-01-01.csv"
    dump.write_text("1,2,3,6,1767225600000,True,True\n")
    span = ("--from", "2026-01-01", "--to", "2026-01-02")
    unreachable = {"CANDLEWAX_BINANCE_REST_URL": "http://127.0.0.1:1/binance"}
    failed = candlewax(tmp_path, "backfill", "binance", "BTCUSDT", *span, **unreachable)
    assert failed.returncode == 1
    assert "CANDLEWAX_BINANCE_REST_URL: nothing answers there" in failed.stderr
    from_dump = candlewax(tmp_path, "backfill", "binance", "BTCUSDT", "--dump", str(dump))
    assert from_dump.returncode == 0, from_dump.stderr
    with played() as (simulator, _):
        simulated = {"CANDLEWAX_BINANCE_REST_URL": simulator.rest_url("binance")}
        refused = candlewax(tmp_path, "backfill", "binance", "BTCUSDT", *span, **simulated)
    assert refused.returncode == 1
    assert f"holds {KIND_TEXTS[REAL]}; {KIND_TEXTS[SIMULATED]} would be stored" in refused.stderr
    assert "Traceback" not in refused.stderr
