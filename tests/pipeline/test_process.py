"""Dataflows and commands as real processes: what the sample gives, settings, directories."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from bytewax.testing import run_main

from candlewax.clickhouse.client import Database
from candlewax.core import frame_log
from candlewax.data import MANIFEST
from candlewax.feeds.replay.source import FrameLogSource
from candlewax.pipeline import builder
from candlewax.runtime.counters import Counters
from candlewax.verification.verify import check_totals, verify
from dataflows import ohlcv
from tests.support import command_inside, oracle
from tests.support.databases import Databases
from tests.support.kafka.system import market, record
from tests.support.playing import INSTRUMENTS, all_fills
from tests.support.processes import FLOW, ROOT, Done, commands, outputs, queries, run

pytestmark = pytest.mark.slow("processes, one of which plays the whole sample", seconds=40)

FRAMES = """
SELECT exchange, count(), countIf(kind = 'control'), countIf(kind = 'dead'), sum(trades)
FROM bronze_frames FINAL GROUP BY 1 ORDER BY 1
"""
MARKETS = """
SELECT concat(exchange, ' ', symbol), count(), sum(quantity) FROM silver_trades FINAL
GROUP BY 1 ORDER BY 1
"""
MISSING = """
SELECT concat(exchange, ' ', symbol), max(sequence) - min(sequence) + 1 - count()
FROM silver_trades FINAL WHERE sequence > 0 GROUP BY 1
"""
TIMEFRAMES = """
SELECT toString(timeframe) AS t, count() AS n FROM ohlcv FINAL GROUP BY 1 ORDER BY 2
"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """What commands say of the sample, played by a process."""
    folder = tmp_path_factory.mktemp("played")
    done = run(folder, *FLOW)
    assert done.returncode == 0, done.stderr
    assert "equal those that SQL computes" in done.stdout
    assert "add up" in done.stdout
    assert "nothing changed" not in done.stdout
    queries = {
        "frames": ("sql", FRAMES, "--format", "TabSeparated"),
        "markets": ("sql", MARKETS, "--format", "JSONCompactEachRow"),
        "missing": ("sql", MISSING, "--format", "TabSeparated"),
        "timeframes": ("sql", TIMEFRAMES, "--format", "JSONEachRow"),
        "verify": ("verify", "--json"),
        "wrong": ("sql", "SELECT nonsense FROM nothing"),
    }
    return dict(zip(queries, commands(folder, list(queries.values())), strict=True))


def test_sample_is_stored_as_its_manifest_says(sample: dict[str, Done]) -> None:
    """Frames of each exchange, and trades and volumes of each market; the cross-check agrees."""
    manifest = json.loads(MANIFEST.read_text())
    assert [line.split("\t") for line in sample["frames"].said.splitlines()] == [
        [name, *(str(counts[key]) for key in ("frames", "control_frames", "dead_frames", "trades"))]
        for name, counts in manifest["exchanges"].items()
    ]
    expected = sorted(manifest["markets"].items())
    rows = [json.loads(line) for line in sample["markets"].said.splitlines()]
    assert [(name, int(count)) for name, count, _ in rows] == [
        (name, market["trades"]) for name, market in expected
    ]
    assert [float(volume) for *_, volume in rows] == pytest.approx(
        [float(market["volume"]) for _, market in expected], rel=1e-12
    )
    assert sample["verify"].status == 0
    result = json.loads(sample["verify"].said)
    assert set(result) >= {
        "candles", "mismatches", "missing_in_gold", "missing_in_check", "examples"
    }  # fmt: skip
    assert result["candles"] > 10_000


def test_missing_trades_of_sample_are_those_of_its_manifest(sample: dict[str, Done]) -> None:
    """No other number is missing."""
    rows = [line.split("\t") for line in sample["missing"].said.splitlines()]
    markets = json.loads(MANIFEST.read_text())["markets"]
    missing_ids = {name: int(missing) for name, missing in rows}
    assert missing_ids == {name: markets[name]["missing_ids"] for name in missing_ids}
    assert sum(missing_ids.values()) > 0


def test_invalid_query_prints_the_message_of_clickhouse(sample: dict[str, Done]) -> None:
    """With status 1 and no traceback."""
    done = sample["wrong"]
    assert done.status == 1
    assert "UNKNOWN" in done.complained
    assert "Stack trace" not in done.complained


def test_query_prints_any_output_format(sample: dict[str, Done]) -> None:
    """Here JSON; other tests use text."""
    rows = [json.loads(line) for line in sample["timeframes"].said.splitlines()]
    assert {row["t"] for row in rows} == {"1m", "5m", "15m", "30m", "1h", "1d"}


def test_init_creates_the_database_once(tmp_path: Path) -> None:
    """A second run changes nothing."""
    show = ("sql", "SHOW TABLES", "--format", "TabSeparated")
    *_, tables = outputs(tmp_path, ("init",), ("init",), show)
    names = set(tables.splitlines())
    assert {"bronze_frames", "silver_trades", "dead_letters", "ohlcv", "ohlcv_1m"} <= names


def test_each_dataflow_runs_by_itself(tmp_path: Path) -> None:
    """Reading only, up to trades, candles of stored trades, and all again."""
    frames = market(1000, seed=6)
    feed = {"CANDLEWAX_FEED": str(record(tmp_path / "market.tsv", frames))}
    for flow in ("ingest", "silver"):
        done = run(tmp_path, sys.executable, "-m", "bytewax.run", f"dataflows.{flow}", **feed)
        assert done.returncode == 0, done.stderr
        assert "kraken" in done.stdout
        assert "differ" not in done.stdout
    fills = oracle.distinct(all_fills(frames))
    counted = sum(not fill.conditions for fill in fills)
    trades, candles = "SELECT count() FROM silver_trades FINAL", "SELECT count() FROM ohlcv"
    assert queries(tmp_path, trades, candles) == [[[str(len(fills))]], [["0"]]]
    for again in (False, True):
        done = run(tmp_path, *FLOW, **feed)
        assert done.returncode == 0, done.stderr
        assert ("nothing changed" in done.stdout) == again
    candles = "SELECT sum(trade_count) FROM ohlcv FINAL WHERE timeframe = '1d'"
    sql_commands = [("sql", sql, "--format", "TabSeparated") for sql in (trades, candles)]
    stored, candle_trades, _ = outputs(tmp_path, *sql_commands, ("verify",))
    assert (int(stored), int(candle_trades)) == (len(fills), counted)


def test_directory_in_use_ends_the_second_process(tmp_path: Path) -> None:
    """With one line; the first process continues."""
    place = tmp_path / "clickhouse"
    code = (
        "import sys; from pathlib import Path;"
        "from candlewax.clickhouse.client import open_tables;"
        "held = open_tables(Path(sys.argv[1]), 'market');"
        "print('open', flush=True); sys.stdin.read(); print(held.query('SELECT 1 AS n').item())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(place)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        second = run(tmp_path, *FLOW)
        queried, verified = commands(tmp_path, [("sql", "SELECT 1"), ("verify",)])
        rest, _ = holder.communicate("")
    message = (
        f"candlewax: {place}: in use by another process; an embedded database belongs to one at a "
        "time\n"
    )
    assert (second.returncode, second.stderr) == (1, message)
    assert (queried.status, queried.complained) == (1, message)
    assert verified.status == 2
    assert rest == "1\n"


def test_file_in_place_of_the_directory_is_an_error(tmp_path: Path) -> None:
    """In one line that names it."""
    (tmp_path / "clickhouse").write_text("")
    done = command_inside.flow("ohlcv", CANDLEWAX_CLICKHOUSE=str(tmp_path / "clickhouse"))
    assert done.returncode == 1
    assert "clickhouse" in done.stderr
    assert "Traceback" not in done.stderr


def test_commands_that_only_read_create_no_database(tmp_path: Path) -> None:
    """They report that there is none; `verify` ends with the status of a failed comparison."""
    for arguments, status in ((("sql", "SELECT 1"), 1), (("verify",), 2)):
        place = str(tmp_path / "clickhouse")
        done = command_inside.command(*arguments, CANDLEWAX_CLICKHOUSE=place)
        assert (done.returncode, done.stdout) == (status, "")
        assert "no database here" in done.stderr
    assert not (tmp_path / "clickhouse").exists()


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("CANDLEWAX_FEED", "nowhere.tsv", "readable"),
        ("CANDLEWAX_DATABASE", "a b", "letters"),
        ("CANDLEWAX_EXCHANGES", "nasdaq", "binance"),
        ("CANDLEWAX_INSTRUMENTS", "none.toml", "readable"),
        ("CANDLEWAX_COLOUR", "red", "no such setting"),
        ("CANDLEWAX_CLICKHOUSE", "ftp://host", "directory"),
    ],
)
def test_wrong_setting_stops_the_start(tmp_path: Path, name: str, value: str, takes: str) -> None:
    """The message has its name, its value and what it takes."""
    done = command_inside.flow(
        "ohlcv", **{"CANDLEWAX_CLICKHOUSE": str(tmp_path / "none"), name: value}
    )
    assert done.returncode == 1
    assert name in done.stderr
    assert takes in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_lines_of_a_log_become_dead_letters(tables: Database, tmp_path: Path) -> None:
    """Invalid lines of each kind; the valid ones around them are stored."""
    trade = '{"e":"trade","E":1,"s":"BTCUSDT","t":N,"p":"1.5","q":"2","T":1000,"m":true,"M":true}'
    good = [
        frame_log.format_line(10**18 + n, "binance", "b", n, trade.replace("N", str(n + 1)))
        for n in range(50)
    ]
    bad = [
        b"\x00\xff\xfe binary",
        b"1\tbinance\tc\t1",
        b"",
        frame_log.format_line(5, "nasdaq", "n", 0, "x").encode()[:-1],
        frame_log.format_line(6, "binance", "b", 0, "").encode()[:-1],
        frame_log.format_line(7, "kraken", "k", 0, "y" * 10_000_000).encode()[:-1],
        b"8\tbinance\tc\t1\t\xff",
    ]
    log = tmp_path / "bad.tsv"
    log.write_bytes(b"".join(line + b"\n" for line in bad) + "".join(good).encode() + b"12\tbin")
    counters = Counters()
    feed = FrameLogSource([log], counters)
    run_main(
        ohlcv.build(
            builder.build_components(feed, INSTRUMENTS, INSTRUMENTS.exchanges, tables, counters)
        )
    )
    letters = tables.query(
        "SELECT toString(scope), reason, count() AS n FROM dead_letters FINAL GROUP BY ALL"
    )
    assert sorted(letters.rows()) == [
        ("frame", "bad_json", 1),
        ("frame", "empty_frame", 1),
        ("frame", "unknown_exchange", 1),
        ("line", "bad_line", 4),
        ("line", "not_utf8", 1),
    ]
    assert tables.query("SELECT count() AS n FROM silver_trades FINAL").item() == 50
    assert tables.query("SELECT max(length(frame)) AS n FROM dead_letters").item() == 10_000_000
    assert verify(tables.client).equal
    assert check_totals(tables.client) == []


def test_live_feed_without_markets_is_an_error(databases: Databases, engine_path: Path) -> None:
    """The process does not wait for ever."""
    with databases.one() as tables:
        done = command_inside.flow(
            "ohlcv",
            CANDLEWAX_CLICKHOUSE=str(engine_path),
            CANDLEWAX_DATABASE=str(tables.client.database),
            CANDLEWAX_FEED="live",
            CANDLEWAX_EXCHANGES="binance_usdm",
        )
    assert done.returncode == 1
    assert "CANDLEWAX_FEED: live, but instruments.toml lists nothing" in done.stderr


def test_metrics_port_in_use_is_an_error(tmp_path: Path) -> None:
    """The message names its setting."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(tmp_path, *FLOW, CANDLEWAX_METRICS_PORT=str(port))
    assert done.returncode == 1
    assert f"CANDLEWAX_METRICS_PORT: cannot listen on 127.0.0.1 port {port}" in done.stderr


def test_unknown_property_of_the_broker_is_named(tmp_path: Path) -> None:
    """One that librdkafka does not know; no database is opened."""
    broker = {"CANDLEWAX_BROKERS": "127.0.0.1:1", "CANDLEWAX_KAFKA_COLOUR": "red"}
    done = command_inside.flow("ohlcv", CANDLEWAX_CLICKHOUSE=str(tmp_path / "none"), **broker)
    assert done.returncode == 1
    assert "CANDLEWAX_KAFKA_COLOUR" in done.stderr
    assert "Traceback" not in done.stderr
