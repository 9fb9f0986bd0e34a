"""`candlewax up` and `candlewax serve` as processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import command_inside
from tests.support.clickhouse_process import serving
from tests.support.kafka.system import market, record
from tests.support.mending import markets, played
from tests.support.page_process import CODE, PATIENCE, started
from tests.support.processes import FLOW, ROOT, candlewax, environment, run
from tests.support.terminal import on_terminal
from tests.support.web_server import CANDLES, Client

pytestmark = pytest.mark.slow("processes that serve", seconds=30)

MARKET = {"exchange": "binance", "symbol": "BTC/USDT"}
COUNTED = "SELECT sum(trade_count) FROM ohlcv_1m WHERE exchange = 'binance' AND symbol = 'BTC/USDT'"


def until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)


def trades_of(client: Client) -> int:
    answer = client.ask(CANDLES, {**MARKET, "limit": 10_000})
    return sum(row["trade_count"] for row in answer.rows) if answer.status == 200 else 0


def test_up_plays_the_sample_and_serves_it_when_it_has_ended(tmp_path: Path) -> None:
    """Its first hours are served from the start, and no temporary files are left."""
    manifest = json.loads((ROOT / "candlewax/data/sample.json").read_text())
    expected = manifest["markets"]["binance BTC/USDT"]["trades"]
    # Some seconds of it are played; before them it comes at once.
    part = ("--begin", "2026-09-15T01:58Z", "--pace", "100")
    with started(tmp_path, "up", *part) as (client, process):
        until(lambda: trades_of(client) > expected / 3)
        count_before = trades_of(client)
        assert client.ask("/").status == 200
        until(lambda: trades_of(client) > count_before)
        until(lambda: client.ask("/api/v1/health").json["status"] == "ended")
        until(lambda: trades_of(client) == expected)
        told = next(line for line in process.stdout if line.startswith("The recording has ended"))
        assert (
            f" {sum(one['trades'] for one in manifest['markets'].values()):,} new trades, " in told
        )
        example = subprocess.run(
            [sys.executable, "examples/first_query.py", str(client.port)],
            cwd=ROOT,
            env={**os.environ, "no_proxy": "*"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert example.returncode == 0, example.stderr
        assert "BTC/USDT" in example.stdout
        counted = client.ask("/", {"query": COUNTED})
        assert int(counted.body) == expected
    assert not list(tmp_path.glob("candlewax-*"))


def test_closed_terminal_ends_the_sample_and_removes_its_database(tmp_path: Path) -> None:
    """With status 0, as Ctrl-C does."""
    command = (sys.executable, "-c", CODE, "up", "--port=0")
    with on_terminal(command, environment(tmp_path, TMPDIR=str(tmp_path))) as terminal:
        terminal.until(lambda: "http://127.0.0.1:" in terminal.text)
        assert list(tmp_path.glob("candlewax-*"))
        terminal.hang_up()
        assert terminal.process.wait(PATIENCE) == 0
    assert not list(tmp_path.glob("candlewax-*"))


def test_up_fills_a_span_before_its_start(tmp_path: Path) -> None:
    """The exchange was closed before: no trade of it comes by websocket."""
    with played() as (simulator, _):
        expected = len([t for t in markets(simulator, "binance")["BTCUSDT"] if not t.condition])
        settings = {
            "CANDLEWAX_FEED": "live",
            "CANDLEWAX_EXCHANGES": "binance",
            "CANDLEWAX_BINANCE_URL": simulator.url("binance"),
            "CANDLEWAX_BINANCE_REST_URL": simulator.rest_url("binance"),
            "CANDLEWAX_CLICKHOUSE": str(tmp_path / "clickhouse"),
        }
        with started(tmp_path, "up", "--fill", "2h", **settings) as (client, _):
            until(lambda: trades_of(client) == expected > 0)
            assert client.ask("/api/v1").json["feed"] == "simulated feeds"


def test_up_stops_on_sigint_while_a_stream_is_open(tmp_path: Path) -> None:
    """With status 0, before the sample has ended."""
    with started(tmp_path, "up") as (client, process):
        until(lambda: trades_of(client) > 0)
        with socket.create_connection(("127.0.0.1", client.port), 10) as stream:
            stream.sendall(
                b"GET /api/v1/stream?exchange=binance&symbol=BTC/USDT HTTP/1.1\r\n"
                b"Host: localhost\r\n\r\n"
            )
            assert b"text/event-stream" in stream.recv(4096)
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0


def test_serve_locks_the_directory_that_it_serves(tmp_path: Path) -> None:
    """It answers SQL; another process cannot open the directory meanwhile."""
    feed = str(record(tmp_path / "market.tsv", market(500, seed=7)))
    assert run(tmp_path, *FLOW, CANDLEWAX_FEED=feed).returncode == 0
    with started(tmp_path, "serve") as (client, _):
        count = int(client.ask("/", {"query": COUNTED}).body)
        assert trades_of(client) == count > 0
        verified = candlewax(tmp_path, "verify")
        assert verified.returncode == 2
        url = f"http://127.0.0.1:{client.port}"
        assert verified.stderr.endswith(f"; candlewax serve answers queries at {url}\n")
        assert client.ask("/api/v1/health").json["feeds"] == []


def test_serve_of_a_server_answers_no_sql(tmp_path: Path) -> None:
    """Clients send SQL to that server itself."""
    with serving(tmp_path / "server") as front:
        settings = {"CANDLEWAX_CLICKHOUSE": front.dsn, "no_proxy": "*"}
        feed = str(record(tmp_path / "market.tsv", market(500, seed=8)))
        assert run(tmp_path, *FLOW, CANDLEWAX_FEED=feed, **settings).returncode == 0
        with started(tmp_path, "serve", **settings) as (client, _):
            assert trades_of(client) > 0
            assert client.ask("/?query=SELECT+1").refusal == (404, "no_sql_here", None)


def test_port_in_use_is_named(tmp_path: Path) -> None:
    """With the option that helps, status 1, no traceback, and no database that seems filled."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = candlewax(tmp_path, "up", "--keep", "--port", port)
    assert done.returncode == 1
    assert not (tmp_path / "data").exists()
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "settings", "text"),
    [
        (("up", "--pace", "0"), {}, "from 0.01 to 100000"),
        (("up", "--pace", "fast"), {}, "from 0.01 to 100000"),
        (("up", "--begin", "noon"), {}, "takes a date or a time"),
        (("up", "--begin", "20260915"), {}, "without its hyphens"),
        (("up", "--fill", "24"), {}, "takes whole hours or days from 1h to 7d, as 24h or 2d"),
        (("up", "--fill", "24h"), {}, "CANDLEWAX_FILL: takes CANDLEWAX_FEED=live"),
        (("up", "--port", "99999"), {}, "from 0 to 65535"),
        (("up",), {"CANDLEWAX_BROKERS": "127.0.0.1:1"}, "CANDLEWAX_BROKERS"),
        (("serve",), {}, "no database here"),
    ],
)
def test_wrong_options_are_named_before_anything_starts(
    tmp_path: Path, arguments: tuple[str, ...], settings: dict[str, str], text: str
) -> None:
    """With a reason and no traceback."""
    place = str(tmp_path / "clickhouse")
    done = command_inside.command(*arguments, CANDLEWAX_CLICKHOUSE=place, **settings)
    assert done.returncode != 0
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_up_warns_when_it_listens_for_other_machines(tmp_path: Path) -> None:
    """On its first line of errors."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, "up", "--port=0", "--host=0.0.0.0"],
        cwd=ROOT,
        env={**environment(tmp_path), "TMPDIR": str(tmp_path), "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert "warning: 0.0.0.0 can be reached from other machines" in line
