"""Kinds of data: a database that holds one refuses the others."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database, DatabaseError, connect, open_tables
from candlewax.core.kind_marks import KIND_TEXTS, REAL, SAMPLE_KIND, SIMULATED
from candlewax.data import SAMPLE
from candlewax.pipeline import data_kind
from candlewax.pipeline.data_kind import (
    claim,
    kind_of,
    live_kind,
    open_claimed,
    open_for_kind,
    stored_kind,
)
from candlewax.pipeline.stored_kind import InferredKind, infer_kind
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import Settings, SettingsError, load
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from tests.support.clickhouse_process import serving
from tests.support.exchange_server import Exchange, Reader, quick, running

pytestmark = pytest.mark.slow("processes and databases of their own", seconds=10)

HERE = Path("/here")

KINDS = (SAMPLE_KIND, SIMULATED, REAL)


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_database_accepts_its_own_kind_and_refuses_others(
    tables: Database, first: str, second: str
) -> None:
    """The message names both kinds and the settings of another database."""
    claim(tables, HERE, "market", first)
    claim(tables, HERE, "market", first)
    if second == first:
        return
    with pytest.raises(DatabaseError) as refused:
        claim(tables, HERE, "market", second)
    text = str(refused.value)
    assert KIND_TEXTS[first] in text
    assert KIND_TEXTS[second] in text
    assert "here, database market" in text
    assert "CANDLEWAX_CLICKHOUSE" in text
    assert "CANDLEWAX_DATABASE" in text
    claim(tables, HERE, "market", first)


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_one_of_two_claims_at_once_wins(
    tables: Database, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    """The other claim comes between the check of the empty database and its own claim. The first
    one is valid.
    """
    infer = infer_kind

    def overtaken(database: Database) -> InferredKind | None:
        inferred = infer(database)
        monkeypatch.setattr(data_kind, "infer_kind", infer)
        claim(database, HERE, "market", first)
        return inferred

    monkeypatch.setattr(data_kind, "infer_kind", overtaken)
    if second == first:
        claim(tables, HERE, "market", second)
    else:
        with pytest.raises(DatabaseError, match=f"holds {KIND_TEXTS[first]}"):
            claim(tables, HERE, "market", second)
    claim(tables, HERE, "market", first)
    assert tables.query("SELECT DISTINCT kind FROM database_kind")["kind"].to_list() == [first]


def test_one_kind_wins_among_many_claims_of_a_server(tmp_path: Path) -> None:
    """On connections of their own. Claims of that kind succeed, others never."""
    with serving(tmp_path) as server:
        place = Server(server.dsn)
        open_tables(place, "market").close()
        begin = threading.Barrier(6)

        def attempt(kind: str) -> str | None:
            database = connect(place, "market")
            begin.wait()
            try:
                claim(database, place, "market", kind)
            except DatabaseError:
                return None
            finally:
                database.close()
            return kind

        with ThreadPoolExecutor(6) as pool:
            winners = set(pool.map(attempt, [*KINDS, *KINDS])) - {None}
        database = connect(place, "market")
        assert winners == {stored_kind(database)}
        database.close()


def test_first_of_two_older_claims_counts(tables: Database) -> None:
    """Older releases could store two, and then refused all processes."""
    tables.client.command(
        "INSERT INTO database_kind VALUES "
        f"('{REAL}', '2026-01-01 00:00:01'), ('{SIMULATED}', '2026-01-01 00:00:00')"
    )
    claim(tables, HERE, "market", SIMULATED)
    with pytest.raises(DatabaseError):
        claim(tables, HERE, "market", REAL)


def settings_with(**changes: object) -> Settings:
    return replace(load({}), **changes)  # type: ignore[arg-type]  # of its fields


def test_kind_follows_from_the_feed(tmp_path: Path) -> None:
    """The sample by name or path, logs by their first connection event."""
    real, made = tmp_path / "real.tsv", tmp_path / "made.tsv"
    real.write_text('1\tbinance\tb0\t0\t{"candlewax":"connected"}\n')
    made.write_text('1\tbinance\tb0\t0\t{"candlewax":"connected","made":"simulator"}\n')
    assert kind_of(settings_with(feed="sample")) == SAMPLE_KIND
    assert kind_of(settings_with(feed=(SAMPLE,))) == SAMPLE_KIND
    assert kind_of(settings_with(feed=(real,))) == REAL
    assert kind_of(settings_with(feed=(made,))) == SIMULATED
    with pytest.raises(SettingsError, match="takes logs of one kind"):
        kind_of(settings_with(feed=(real, made)))
    assert kind_of(settings_with(feed=(tmp_path / "none.tsv",))) == REAL


def test_exchange_is_asked_for_its_kind() -> None:
    """At addresses that are not its own; one that is away does not tell."""

    async def talk(*_: object) -> None:
        return

    with (
        running(Simulator(Plan(starts_paused=True))) as (simulator, _),
        running(Exchange(talk)) as (
            other,
            _,
        ),
    ):
        made = simulator.url("kraken")
        assert live_kind({}) == REAL
        assert live_kind({"kraken": made, "binance": simulator.url("binance")}) == SIMULATED
        assert live_kind({"kraken": simulator.rest_url("kraken")}) == SIMULATED
        assert live_kind({"binance": other.url}) == REAL
        with pytest.raises(SettingsError, match=r"CANDLEWAX_BINANCE_URL: no simulator"):
            live_kind({"kraken": made, "binance": other.url})
        away = "ws://127.0.0.1:1/x"
        assert live_kind({"kraken": made, "binance": away}) == SIMULATED
        assert live_kind({"kraken": away, "binance": other.url}) == REAL
    assert live_kind({"kraken": made}) == ""


@pytest.mark.parametrize("there", [*KINDS, ""])
def test_exchange_that_is_away_does_not_decide(
    tables: Database, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    """The database says which kind is let in; an empty one stays open, and takes what is real."""
    monkeypatch.setattr("candlewax.pipeline.data_kind.open_tables", lambda *_: tables)
    place = settings_with(is_placed=True)
    if there:
        open_claimed(place, there)
    if there == SAMPLE_KIND:
        with pytest.raises(DatabaseError, match=KIND_TEXTS[SAMPLE_KIND]):
            open_for_kind(place, "")
        return
    settings, database = open_for_kind(place, "")
    assert settings.is_simulated is (there == SIMULATED)
    assert stored_kind(database) == there


@pytest.mark.parametrize("wanted", [False, True, None])
def test_connection_of_another_kind_delivers_nothing(*, wanted: bool | None) -> None:
    """Where it is not known at start, the connection tells; what it brings says so."""
    rules = {name: replace(live, is_simulated=wanted) for name, live in quick("kraken").items()}
    with (
        running(Simulator(Plan(starts_paused=True))) as (simulator, _),
        Reader({"kraken": ["BTC/USD"]}, {"kraken": simulator.url("kraken")}, rules) as reader,
    ):
        if wanted is False:
            with pytest.raises(Exception, match="died"):
                reader.until(lambda: reader.rows)
            assert reader.rows == []
            return
        reader.until(lambda: reader.events("subscribed"))
        reader.finish()
    assert reader.events("connected")[0]["made"] == "simulator"
