"""Real processes: kills, stops, settings and directories that are wrong."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from bytewax.recovery import init_db_dir

from candlewax.core import frame_log
from candlewax.data import MANIFEST
from tests.support import command_inside, oracle
from tests.support.kafka.system import market, record
from tests.support.playing import all_fills
from tests.support.processes import (
    FLOW,
    ROOT,
    candlewax,
    check_sample,
    environment,
    queries,
    query,
    run,
    said,
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, played once."""
    folder = tmp_path_factory.mktemp("played")
    done = run(folder, *FLOW)
    assert done.returncode == 0, done.stderr
    assert "equal those that SQL computes" in done.stdout
    assert "add up" in done.stdout
    assert "nothing changed" not in done.stdout
    return folder


def test_the_sample_is_stored_as_it_was_made(played: Path) -> None:
    """Frames, trades and volumes of each market equal the manifest."""
    check_sample(played)


def test_playing_it_again_says_that_nothing_changed(played: Path) -> None:
    """And it is true."""
    done = run(played, *FLOW)
    assert done.returncode == 0, done.stderr
    assert "nothing changed" in done.stdout
    check_sample(played)


def test_the_holes_of_the_sample_show_in_its_numbers(played: Path) -> None:
    """Trades that never came are missing, and nothing else is."""
    rows = query(
        played,
        "SELECT concat(exchange, ' ', symbol), max(sequence) - min(sequence) + 1 - count() "
        "FROM silver_trades FINAL WHERE sequence > 0 GROUP BY 1",
    )
    markets = json.loads(MANIFEST.read_text())["markets"]
    found = {name: int(missing) for name, missing in rows}
    assert found == {name: markets[name]["missing_ids"] for name in found}
    assert sum(found.values()) > 0


def test_init_creates_what_is_absent_and_nothing_else(tmp_path: Path) -> None:
    """Again, it changes nothing."""
    show = ("sql", "SHOW TABLES", "--format", "TabSeparated")
    *_, tables = said(tmp_path, ("init",), ("init",), show)
    names = set(tables.splitlines())
    assert {"bronze_frames", "silver_trades", "dead_letters", "ohlcv", "ohlcv_1m"} <= names


def test_each_dataflow_runs_by_itself(tmp_path: Path) -> None:
    """Reading only, then up to the trades, then the candles of what is stored."""
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
    assert run(tmp_path, *FLOW, **feed).returncode == 0
    candles = "SELECT sum(trade_count) FROM ohlcv FINAL WHERE timeframe = '1d'"
    asked = [("sql", sql, "--format", "TabSeparated") for sql in (trades, candles)]
    stored, told, _ = said(tmp_path, *asked, ("verify",))
    assert (int(stored), int(told)) == (len(fills), counted)


def start(folder: Path, recovery: Path) -> subprocess.Popen[bytes]:
    """The flow on the sample, with recovery, once it has begun."""
    process = subprocess.Popen(
        [*FLOW, "-r", str(recovery), "-s", "1", "-b", "0"],
        cwd=ROOT,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"Reading")
    return process


def test_a_process_that_is_ended_anywhere_goes_on(tmp_path: Path) -> None:
    """Stopped or killed again and again, it ends with the tables of one quiet run."""
    recovery = tmp_path / "recovery"
    recovery.mkdir()
    init_db_dir(recovery, 1)
    for attempt, number in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGINT)):
        process = start(tmp_path, recovery)
        try:
            # Each time a little later; wherever it strikes, the end must be the same.
            process.communicate(timeout=0.8 * attempt)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            process.communicate(timeout=120)
            assert process.returncode == (-number if number == signal.SIGKILL else 0)
    else:
        process = start(tmp_path, recovery)
        process.communicate(timeout=240)
    assert process.returncode == 0
    check_sample(tmp_path)


def test_a_directory_in_use_is_told(tmp_path: Path) -> None:
    """The second process ends with a message and leaves the first alone."""
    code = (
        "import sys; from pathlib import Path;"
        "from candlewax.clickhouse.client import open_tables;"
        "held = open_tables(Path(sys.argv[1]), 'market');"
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "clickhouse")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        for second in (run(tmp_path, *FLOW), candlewax(tmp_path, "sql", "SELECT 1")):
            assert second.returncode == 1
            assert "in use by another process" in second.stderr
            assert "Traceback" not in second.stderr
        assert candlewax(tmp_path, "verify").returncode == 2
        holder.communicate("")


def test_a_place_that_is_no_directory_is_told(tmp_path: Path) -> None:
    """A file where the directory should be."""
    (tmp_path / "clickhouse").write_text("")
    done = run(tmp_path, *FLOW)
    assert done.returncode == 1
    assert "clickhouse" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_there_is_no_database_nothing_is_made(tmp_path: Path) -> None:
    """Asking does not create; verify could not compare."""
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
def test_a_wrong_setting_stops_the_start(tmp_path: Path, name: str, value: str, takes: str) -> None:
    """With its name, what it got and what it takes, and no more."""
    done = command_inside.flow(
        "ohlcv", **{"CANDLEWAX_CLICKHOUSE": str(tmp_path / "none"), name: value}
    )
    assert done.returncode == 1
    assert name in done.stderr
    assert takes in done.stderr
    assert "Traceback" not in done.stderr


def test_a_query_that_is_wrong_is_told(played: Path) -> None:
    """ClickHouse's own words, and status 1."""
    done = candlewax(played, "sql", "SELECT nonsense FROM nothing")
    assert done.returncode == 1
    assert "UNKNOWN" in done.stderr
    assert "Stack trace" not in done.stderr


def test_any_output_format_works(played: Path) -> None:
    """Text and binary ones."""
    sql = "SELECT toString(timeframe) AS t, count() AS n FROM ohlcv FINAL GROUP BY 1 ORDER BY 2"
    rows = [json.loads(line) for line in candlewax(
        played, "sql", sql, "--format", "JSONEachRow"
    ).stdout.splitlines()]  # fmt: skip
    assert {row["t"] for row in rows} == {"1m", "5m", "15m", "30m", "1h", "1d"}


def test_garbage_is_kept_and_harms_nothing(tmp_path: Path) -> None:
    """Lines of all bad kinds around good ones: exit 0, letters for the bad."""
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
    done = run(tmp_path, *FLOW, CANDLEWAX_FEED=str(log))
    assert done.returncode == 0, done.stderr
    letters, trades, longest = queries(
        tmp_path,
        "SELECT scope, reason, count() FROM dead_letters FINAL GROUP BY ALL",
        "SELECT count() FROM silver_trades FINAL",
        "SELECT max(length(frame)) FROM dead_letters",
    )
    assert sorted(letters) == [
        ["frame", "bad_json", "1"],
        ["frame", "empty_frame", "1"],
        ["frame", "unknown_exchange", "1"],
        ["line", "bad_line", "4"],
        ["line", "not_utf8", "1"],
    ]
    assert (trades, longest) == ([["50"]], [["10000000"]])
    assert candlewax(tmp_path, "verify").returncode == 0


def test_a_live_feed_of_nothing_is_an_error(tmp_path: Path) -> None:
    """Rather than a process that waits for ever."""
    done = run(tmp_path, *FLOW, CANDLEWAX_FEED="live", CANDLEWAX_EXCHANGES="binance_usdm")
    assert done.returncode == 1
    assert "CANDLEWAX_FEED: live, but instruments.toml lists nothing" in done.stderr


def test_a_port_of_metrics_that_is_taken_is_an_error(tmp_path: Path) -> None:
    """Named by its setting."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run(tmp_path, *FLOW, CANDLEWAX_METRICS_PORT=str(port))
    assert done.returncode == 1
    assert f"CANDLEWAX_METRICS_PORT: cannot listen on 127.0.0.1 port {port}" in done.stderr


def test_a_broker_that_is_away_at_the_start_is_named(tmp_path: Path) -> None:
    """And so is a property that librdkafka does not know."""
    broker = {"CANDLEWAX_BROKERS": "127.0.0.1:1", "CANDLEWAX_KAFKA_COLOUR": "red"}
    done = run(tmp_path, *FLOW, **broker)
    assert done.returncode == 1
    assert "CANDLEWAX_KAFKA_COLOUR" in done.stderr
    assert "Traceback" not in done.stderr
