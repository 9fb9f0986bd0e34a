"""The command `candlewax simulate` as a process."""

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from candlewax.data import SAMPLE
from tests.support import command_inside
from tests.support.kafka import reading
from tests.support.page_process import started
from tests.support.simulator_clients import PATIENCE, Listener, received_trades

ROOT = Path(__file__).parents[2]
COMMAND = (
    sys.executable,
    "-c",
    "import sys; from candlewax.cli.main import main; main(sys.argv[1:])",
    "simulate",
)


@contextmanager
def simulating(*options: str, folder: Path = ROOT) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command, and the text up to the command that it prints last."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            text = ""
            while not text.endswith("candlewax up\n"):
                line = process.stdout.readline()
                assert line, process.communicate()
                text += line
            yield process, text
        finally:
            process.kill()


def addresses(text: str) -> dict[str, str]:
    """Return the printed addresses, by exchange in capitals."""
    return dict(re.findall(r"CANDLEWAX_(\w+)_URL=(\S+)", text))


def remaining_output(process: "subprocess.Popen[str]") -> str:
    """Return the output from now to its end; `communicate` would omit buffered output."""
    assert process.stdout
    assert process.stderr
    out, err = process.stdout.read(), process.stderr.read()
    assert (process.wait(timeout=PATIENCE), err) == (0, "")
    return out


def stop(process: "subprocess.Popen[str]", number: signal.Signals) -> str:
    process.send_signal(number)
    return remaining_output(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_simulate_plays_until_it_is_stopped(number: signal.Signals) -> None:
    """It prints its addresses, serves all exchanges, and ends with status 0 on a signal."""

    async def receive(exchange: str, url: str, native: str) -> None:
        async with connect(url) as connection:
            listener = Listener(connection, exchange)
            await listener.subscribe(native)
            await listener.until(lambda text: "rade" in text and native.lower() in text.lower())

    with simulating("--rate", "2000") as (process, text):
        for exchange, native in (
            ("binance", "BTCUSDT"),
            ("kraken", "BTC/USD"),
            ("coinbase", "BTC-USD"),
        ):
            asyncio.run(receive(exchange, addresses(text)[exchange.upper()], native))
        port = addresses(text)["KRAKEN"].split(":")[2].split("/")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
            assert answer.status == 200
        assert "Stopped." in stop(process, number)


def test_connected_client_does_not_delay_the_end(tmp_path: Path) -> None:
    """The trades of the client are in the journal file."""
    file = tmp_path / "journal.tsv"

    async def receive(url: str, process: "subprocess.Popen[str]") -> Listener:
        async with connect(url) as connection:
            listener = Listener(connection, "kraken")
            await listener.subscribe("BTC/USD")
            for _ in range(20):
                await listener.until(lambda text: '"update","data":[{"symbol"' in text)
            process.send_signal(signal.SIGTERM)
            assert (await listener.closed())[0] == 1001
        return listener

    with simulating("--rate", "2000", "--skip", "0.1", "--journal", str(file)) as (process, text):
        listener = asyncio.run(receive(addresses(text)["KRAKEN"], process))
        _, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, err) == (0, "")
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    assert {row[8] for row in rows} == {"true", "false"}
    written = {
        (row[2], row[3], int(row[4]), row[5], row[6], row[7] == "buy")
        for row in rows
        if row[1] == "kraken"
    }
    amounts = {(*k[:3], Decimal(k[3]), Decimal(k[4]), k[5]) for k in written}
    assert received_trades(listener).keys() <= amounts
    assert all(int(row[0]) >= int(row[4]) * 1000 for row in rows)


def blocks(text: str) -> list[str]:
    """Return the commands that are printed, each on one line."""
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.startswith("    ")]


def settings_of(command: str) -> tuple[dict[str, str], list[str]]:
    """Return the settings before a command, and its words."""
    words = shlex.split(command)
    settings = dict(word.split("=", 1) for word in words if word.startswith("CANDLEWAX_"))
    return settings, [word for word in words if not word.startswith("CANDLEWAX_")]


@pytest.mark.parametrize("options", [(), ("--exchanges", "okx,gemini")])
def test_printed_commands_store_trades_of_the_exchanges(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Exchanges are those that the file subscribes; without any, a copy gets markets."""
    shutil.copy(ROOT / "instruments.toml", tmp_path)
    with simulating("--rate", "500", *options, folder=tmp_path) as (process, text):
        assert process.poll() is None
        *before, last = blocks(text)
        for command in before:
            added, words = settings_of(command)
            if words[0] == "cp":
                shutil.copy(tmp_path / words[1], tmp_path / words[2])
                continue
            assert words[0].endswith("candlewax")
            added["CANDLEWAX_INSTRUMENTS"] = str(tmp_path / added["CANDLEWAX_INSTRUMENTS"])
            assert command_inside.command(*words[1:], **added).returncode == 0
        settings, (program, *arguments) = settings_of(last)
        assert Path(program).name == "candlewax"
        names = settings["CANDLEWAX_EXCHANGES"].split(",")
        if file := settings.get("CANDLEWAX_INSTRUMENTS"):
            settings["CANDLEWAX_INSTRUMENTS"] = str(tmp_path / file)
        with started(tmp_path, *arguments, **settings) as (client, _):
            sql = "SELECT DISTINCT exchange FROM silver_trades"
            reading.until(
                lambda: (
                    sorted(client.ask("/", {"query": sql}).body.decode().split()) == sorted(names)
                ),
                pause=0.2,
            )
    assert names == (["okx", "gemini"] if options else ["binance", "kraken", "coinbase"])


def test_simulate_stops_after_its_seconds() -> None:
    """It prints a summary."""
    with simulating("--seconds", "0.1") as (process, _):
        assert "Stopped." in remaining_output(process)


def run(*options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, "COLUMNS": "200"},
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rate", "0"], "--rate: expected a number above 0, got '0'"),
        (["--rate", "nan"], "--rate: expected a number above 0, got 'nan'"),
        (["--port", "70000"], "--port: expected a port from 0 to 65535, got '70000'"),
        (["--skip", "2"], "--skip: expected a chance from 0 to 1, got '2'"),
        (["--pace", "-1"], "--pace: expected a number from 0 up, got '-1'"),
        (["--drop-every", "soon"], "--drop-every: expected a number from 0 up, got 'soon'"),
        (["--exchanges", "kraken,mtgox"], "comma-separated, got 'mtgox'"),
        (["--refuse", "FOO"], "--refuse: expected a native symbol as BTCUSDT"),
        (["--close-code", "1005"], "--close-code: expected a close code"),
        (["--recording", "nowhere.tsv"], "--recording: there is no file 'nowhere.tsv'"),
    ],
)
def test_wrong_options_are_named(options: list[str], message: str) -> None:
    """The message names the option, the expected value and the given one."""
    result = command_inside.command("simulate", *options)
    assert result.returncode == 2
    assert message in result.stderr


def test_port_in_use_or_unwritable_journal_ends_with_a_message(tmp_path: Path) -> None:
    """With status 1 and no traceback."""
    journal = str(tmp_path / "none" / "journal.tsv")
    result = command_inside.command("simulate", "--port", "0", "--journal", journal)
    assert result.returncode == 1
    assert result.stderr.startswith("candlewax: ")
    assert "Traceback" not in result.stderr
    with simulating() as (_, text):
        port = addresses(text)["KRAKEN"].split(":")[2].split("/")[0]
        taken = run("--port", port)
        assert taken.returncode == 1
        assert port in taken.stderr
        assert "Traceback" not in taken.stderr


def test_damaged_recording_ends_with_a_message(tmp_path: Path) -> None:
    """Its first part is readable, its end is not."""
    file = tmp_path / "cut.tsv.zst"
    file.write_bytes(SAMPLE.read_bytes()[:5000])

    async def receive(url: str) -> None:
        async with connect(url) as connection:
            await Listener(connection, "kraken").subscribe("BTC/USD")

    with simulating("--recording", str(file), "--pace", "0") as (process, text):
        asyncio.run(receive(addresses(text)["KRAKEN"]))
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert err.startswith("candlewax: ")
        assert "Traceback" not in err
