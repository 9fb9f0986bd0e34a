"""`candlewax status`, and commands that read while `candlewax up` has the database open."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.core import GaugeMetricFamily

from candlewax.cli.process_status import describe
from candlewax.clickhouse.served_address import ServedAddress, announce_address
from candlewax.runtime.health import Health
from candlewax.runtime.http_status import StatusServer
from tests.support.command_inside import command
from tests.support.kafka.reading import until
from tests.support.kafka.system import market, record
from tests.support.page_process import started
from tests.support.ports import free_port
from tests.support.web_server import Client

pytestmark = pytest.mark.slow("a process that serves", seconds=10)

COUNT = "SELECT count() FROM silver_trades FINAL"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("status")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    """`candlewax up` that has played a recording and goes on to serve it."""
    feed = str(record(folder / "market.tsv", market(500, seed=7)))
    words = ("up", "--keep", "--pace=100000")
    with started(folder, *words, CANDLEWAX_FEED=feed) as (client, _):
        until(lambda: client.ask("/api/v1/health").json["status"] == "ended")
        yield client


def place(folder: Path) -> dict[str, str]:
    return {"CANDLEWAX_CLICKHOUSE": str(folder / "clickhouse"), "no_proxy": "*"}


def subjects(text: str) -> dict[str, list[str]]:
    """Return the states by subject."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        state, subject, _ = line.split(maxsplit=2)
        found.setdefault(subject, []).append(state)
    return found


def test_status_tells_what_runs_and_what_is_stored(folder: Path, client: Client) -> None:
    """Each open gap needs attention. JSON holds the same lines."""
    gaps = int(client.ask("/", {"query": "SELECT countIf(state = 'open') FROM gaps FINAL"}).body)
    assert gaps > 0
    done = command("status", **place(folder))
    assert done.returncode == 1, done.stderr
    states = subjects(done.stdout)
    assert states["process"] == ["note"]
    assert f"http://127.0.0.1:{client.port}: ended" in done.stdout
    assert set(states["candles"]) == {"ok"}
    assert states["gaps"] == ["wrong"]
    assert f"gaps         {gaps:,} open" in done.stdout
    assert states["disk"] == states["database"] == ["ok"]
    in_json = json.loads(command("status", "--json", **place(folder)).stdout)
    assert in_json["status"] == 1
    assert [one["subject"] for one in in_json["findings"]] == [
        line.split()[1] for line in done.stdout.splitlines()
    ]
    named = command("status", "--url", f"http://127.0.0.1:{client.port}", no_proxy="*")
    assert subjects(named.stdout)["candles"] == states["candles"]


def test_commands_that_read_ask_the_process_that_has_the_database(
    folder: Path, client: Client, tmp_path: Path
) -> None:
    """They say so on the standard error."""
    stored = client.ask("/", {"query": COUNT}).body.decode()
    where = f"Reading http://127.0.0.1:{client.port}: candlewax up has {folder / 'clickhouse'} open"
    read = command("sql", COUNT, "--format", "TabSeparated", **place(folder))
    assert (read.returncode, read.stdout, read.stderr) == (0, stored, f"{where}\n")
    listed = command("gaps", "--json", **place(folder))
    assert listed.stderr == f"{where}\n"
    totals = json.loads(listed.stdout.splitlines()[-1])["totals"]
    assert totals["open"]["gaps"] > 0
    written = command("export", str(tmp_path / "candles.csv"), **place(folder))
    assert written.returncode == 0, written.stderr
    count = "SELECT count() FROM ohlcv FINAL WHERE timeframe = '1m'"
    lines = (tmp_path / "candles.csv").read_text().splitlines()
    assert len(lines) - 1 == int(client.ask("/", {"query": count}).body)


def test_address_that_another_process_has_now_is_not_used(folder: Path, client: Client) -> None:
    """It was left by a process that was killed; the directory is in use without a page."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    address = ServedAddress(f"http://127.0.0.1:{client.port}", "candlewax up")
    status = (folder / "clickhouse" / "status").resolve()
    (elsewhere / "status").symlink_to(status)  # so that it is locked
    with announce_address(elsewhere, address):
        done = command("sql", COUNT, CANDLEWAX_CLICKHOUSE=str(elsewhere), no_proxy="*")
    assert done.returncode == 1
    assert done.stderr.endswith(f"at {address.url}, which it left, is another database\n")
    assert not (elsewhere / "served_at.json").exists()


def test_connection_that_is_down_needs_attention() -> None:
    """Report nothing of the other exchange, whose feeds are well."""
    feeds = [
        {"exchange": "kraken", "state": "live"},
        {"exchange": "binance", "state": "live"},
        {"exchange": "kraken", "state": "stalled"},
        {"exchange": "binance", "state": "rotating"},
    ]
    health = {"status": "degraded", "trades_per_second": 1.5, "feeds": feeds}
    found = [(one.state, one.subject, one.text) for one in describe("http://x", health)]
    assert found == [
        ("wrong", "process", "http://x: degraded, 1.5 trades a second"),
        ("ok", "feed", "binance: connections: 1 live, 1 rotating"),
        ("wrong", "feed", "kraken: connections: 1 live, 1 stalled"),
    ]


class Lag:
    """Collector of the lag of one topic with two partitions."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        lag = GaugeMetricFamily("candlewax_consumer_lag", "x", labels=["topic", "partition"])
        lag.add_metric(["raw.x", "0"], 1_200)
        lag.add_metric(["raw.x", "1"], 34)
        yield lag


def test_status_tells_readiness_and_lag_of_the_process_with_metrics(tmp_path: Path) -> None:
    """Without a database it could not look: status 2, with the reason."""
    health = Health()
    health.add("commits", lambda: "no commit for 90 s")
    port = free_port()
    server = StatusServer(Lag(), health, "127.0.0.1", port)
    try:
        settings = {**place(tmp_path), "CANDLEWAX_METRICS_PORT": str(port)}
        done = command("status", **settings)
    finally:
        server.close()
    assert done.returncode == 2
    assert "wrong ready        " in done.stdout
    assert "commits: no commit for 90 s" in done.stdout
    assert "lag          raw.x: 1,234 messages are not read yet" in done.stdout
    assert "no database here" in done.stdout.splitlines()[-1]
    gone = command("status", **settings)
    assert f"http://127.0.0.1:{port} (CANDLEWAX_METRICS_PORT) does not answer" in gone.stdout
    assert "nothing is received" in gone.stdout


def test_url_of_another_form_is_refused() -> None:
    done = command("status", "--url", "127.0.0.1:8000")
    assert done.returncode == 2
    assert "takes an address as http://127.0.0.1:8000" in done.stderr
