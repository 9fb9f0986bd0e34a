"""An answer of REST of another kind than the database is refused, and nothing of it stored."""

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
from tests.feeds.rest.test_client import GOOD, serving
from tests.support.mending import asked, gaps, hear, markets, mend, played, stored
from tests.support.playing import INSTRUMENTS
from tests.support.processes import candlewax

MARKED = {SIMULATOR_HEADER: "1"}


@pytest.mark.parametrize("wanted", [None, False, True])
@pytest.mark.parametrize("simulated", [False, True])
def test_client_takes_answers_of_its_kind_only(*, wanted: bool | None, simulated: bool) -> None:
    """Where the kind is open it takes any; else the refusal names both kinds and the way out."""
    status, headers, body = GOOD
    answer = (status, {**headers, **(MARKED if simulated else {})}, body)
    with serving(answer) as server:
        client = Client(EXCHANGES["binance"].rest, server.url, is_simulated=wanted)
        if wanted in (None, simulated):
            assert client.ask("/x").page.numbers == [7]
            return
        with pytest.raises(WrongKindError) as refused:
            client.ask("/x")
    text = str(refused.value)
    assert KIND_TEXTS[REAL] in text
    assert KIND_TEXTS[SIMULATED] in text
    assert "CANDLEWAX_CLICKHOUSE" in text
    assert "CANDLEWAX_DATABASE" in text


def test_failure_of_what_stands_before_the_simulator_is_no_other_kind() -> None:
    """A gateway answers in its own name; the simulator's failures tell what it is."""
    rest = EXCHANGES["binance"].rest
    with serving((502, {}, b"bad gateway"), (503, MARKED, b"{}")) as server:
        with pytest.raises(RefusalError):
            Client(rest, server.url, is_simulated=True).ask("/x")
        with pytest.raises(WrongKindError):
            Client(rest, server.url, is_simulated=False).ask("/x")


def test_gaps_of_real_markets_are_not_filled_by_the_simulator(
    tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if it came to the address after the start: nothing is stored, the process ends."""
    with played() as (simulator, _):
        hear(tables, simulator, "kraken", lambda place, _: place % 20 != 10)
        before, there = stored(tables, "kraken"), gaps(tables)
        how = {
            name: replace(one, is_simulated=False)
            for name, one in asked(simulator, "kraken").items()
        }
        with pytest.raises(RuntimeError):
            mend(tables, how)
    assert "sends data of the simulator" in caplog.text
    assert stored(tables, "kraken") == before
    assert gaps(tables) == there


def test_backfill_of_a_real_market_takes_nothing_of_the_simulator(
    tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even the frame."""
    with played() as (simulator, _):
        (how,) = asked(simulator, "binance").values()
        native, trades = next(iter(markets(simulator, "binance").items()))
        quick = RetryPolicy(first_backoff_s=0.001, max_backoff_s=0.001)
        client = Client(how.rest, how.url, how.key, is_simulated=False, retry_policy=quick)
        texts = pages(
            client, how.rest, native, (trades[0].time_us, trades[-1].time_us), lambda _: None,
            SpanCounts(),
        )  # fmt: skip
        with pytest.raises(RuntimeError):
            store(tables, "binance", native, texts)
    assert "sends data of the simulator" in caplog.text
    assert stored(tables, "binance") == {}
    assert tables.query("SELECT count() FROM bronze_frames").item() == 0


@pytest.mark.parametrize("kind", [REAL, SIMULATED])
def test_process_asks_for_its_kind(tmp_path: Path, kind: str) -> None:
    """What it was started for is demanded of every answer."""
    chosen = load({"CANDLEWAX_CLICKHOUSE": str(tmp_path)}, tmp_path / "none")
    how = rest_endpoints(settings_for_kind(chosen, kind), INSTRUMENTS.exchanges, real=True)
    assert {one.is_simulated for one in how.values()} == {kind == SIMULATED}


def test_backfill_from_the_simulator_is_refused_by_a_real_database(tmp_path: Path) -> None:
    """At once, naming both kinds; where nothing answers, nothing is decided."""
    dump = tmp_path / "BTCUSDT-trades-2026-01-01.csv"
    dump.write_text("1,2,3,6,1767225600000,True,True\n")
    span = ("--from", "2026-01-01", "--to", "2026-01-02")
    away = {"CANDLEWAX_BINANCE_REST_URL": "http://127.0.0.1:1/binance"}
    nobody = candlewax(tmp_path, "backfill", "binance", "BTCUSDT", *span, **away)
    assert nobody.returncode == 1
    assert "CANDLEWAX_BINANCE_REST_URL: nothing answers there" in nobody.stderr
    filled = candlewax(tmp_path, "backfill", "binance", "BTCUSDT", "--dump", str(dump))
    assert filled.returncode == 0, filled.stderr
    with played() as (simulator, _):
        made = {"CANDLEWAX_BINANCE_REST_URL": simulator.rest_url("binance")}
        refused = candlewax(tmp_path, "backfill", "binance", "BTCUSDT", *span, **made)
    assert refused.returncode == 1
    assert f"holds {KIND_TEXTS[REAL]}; {KIND_TEXTS[SIMULATED]} would be stored" in refused.stderr
    assert "Traceback" not in refused.stderr
