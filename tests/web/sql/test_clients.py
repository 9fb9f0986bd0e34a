"""Drivers of ClickHouse in Java and in Go read candles over HTTP, as their users would."""

import json
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.go_program import build_program
from tests.support.jars import MissingProgramError, do_without, fetch_jars
from tests.support.sql_client import COUNT
from tests.support.web_server import Client, candle

pytestmark = pytest.mark.slow("builds a program in Go the first time", seconds=20)

CLIENTS: Final = Path(__file__).parent / "clients"


@pytest.fixture(scope="module")
def go(client: Client) -> dict[str, Any]:
    """Rows that clickhouse-go read."""
    try:
        program = build_program("clickhouse-go", CLIENTS / "go")
    except MissingProgramError as error:
        do_without(error)
    command = [str(program), f"127.0.0.1:{client.port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


@pytest.fixture(scope="module")
def jdbc(client: Client) -> dict[str, dict[str, list[list[str]]]]:
    """Rows that the JDBC driver read: by the way it was connected, by kind of line."""
    pom = CLIENTS / "jdbc" / "pom.xml"
    try:
        jars = fetch_jars("jdbc", pom, "do without the tests of SQL by JDBC")
    except MissingProgramError as error:
        do_without(error)
    command = [
        "java", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*",
        str(CLIENTS / "jdbc" / "ReadCandles.java"), f"127.0.0.1:{client.port}",
    ]  # fmt: skip
    # The machine of a reader is in another zone.
    environment = {"TZ": "America/New_York", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    read: dict[str, dict[str, list[list[str]]]] = {}
    lines: dict[str, list[list[str]]] = {}
    for line in done.stdout.splitlines():
        kind, *values = line.split("\t")
        if kind == "way":
            lines = read.setdefault(values[0], defaultdict(list))
        else:
            lines[kind].append(values)
    return read


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd", "gzip"])
def test_clickhouse_go_reads_exact_candles(go: dict[str, Any], compression: str) -> None:
    """By each compression of the driver. Times are UTC, amounts are decimals."""
    assert go[compression] == [
        {
            "window_start": f"{candle(number)['window_start']:%Y-%m-%dT%H:%M:%SZ}",
            "close": str(candle(number)["close"]),
            "trade_count": candle(number)["trade_count"],
            "symbol": "BTC/USDT",
        }
        for number in range(COUNT)
    ]


def test_clickhouse_go_reads_columns_of_each_layout(go: dict[str, Any]) -> None:
    """In more than one block: the driver finds each column where it begins."""
    assert sorted(go["kinds"], key=lambda row: int(row[0])) == [
        [
            n, str(n % 3), None if n % 2 else n, [str(x) for x in range(n)], {str(n): n},
            [n, "é"], "ab\0", str(n), ["a", "b"], 200,
        ]
        for n in range(5)
    ]  # fmt: skip


def test_clickhouse_go_gets_parameters_errors_and_empty_answers(go: dict[str, Any]) -> None:
    """An error has ClickHouse's number, a statement that writes is refused."""
    rest = go["rest"]
    assert (rest["count"], rest["zone"], rest["empty"]) == (3, "UTC", True)
    assert rest["code"] == 47
    assert "code: 164, message: Only reading is allowed here" in rest["writing"]


@pytest.mark.parametrize("way", ["", "compress=0", "client.use_http_compression=true"])
def test_jdbc_reads_exact_candles(jdbc: dict[str, dict[str, list[list[str]]]], way: str) -> None:
    """With compressed blocks, which the driver asks for unless told otherwise, and without."""
    assert jdbc[way]["candle"] == [
        [
            str(int(candle(number)["window_start"].timestamp())),
            str(candle(number)["close"]),
            str(candle(number)["trade_count"]),
            "BTC/USDT",
        ]
        for number in range(COUNT)
    ]


def test_jdbc_gets_facts_errors_and_empty_answers(
    jdbc: dict[str, dict[str, list[list[str]]]],
) -> None:
    """The driver's own metadata included, which tools such as DBeaver show."""
    read = jdbc[""]
    assert read["zone"] == [["UTC"]]
    assert read["empty"] == [["true"]]
    ((asked, metadata),) = read["version"]
    assert asked == metadata
    assert ["ohlcv_1m"] in read["table"]
    (unknown, writing) = read["error"]
    assert unknown[0] == "47"
    assert "nothing" in unknown[1]
    assert writing[0] == "164"
    assert "Only reading is allowed here" in writing[1]
    assert "done" not in read
