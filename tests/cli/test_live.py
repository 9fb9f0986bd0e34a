"""`candlewax live` on a terminal and in a pipe, on simulated exchanges."""

import argparse
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.cli import live
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from dataflows import ohlcv
from tests.support.exchange_server import running
from tests.support.kafka.reading import until
from tests.support.processes import environment, query
from tests.support.terminal import Terminal, on_terminal

pytestmark = pytest.mark.slow("a live feed on a terminal", seconds=20)

VENUES = ("binance", "kraken", "coinbase")
COMMAND = (sys.executable, "-c", "from candlewax.cli.main import main; main()", "live")
NUMBER = re.compile(r"\d[\d,]*(\.\d+)?$")


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    """Addresses of simulated exchanges that trade without end."""
    with running(Simulator(Plan(rate=500))) as (simulator, _):
        yield {f"CANDLEWAX_{name.upper()}_URL": simulator.url(name) for name in VENUES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def terminal(folder: Path, urls: dict[str, str]) -> Iterator[Terminal]:
    """A terminal of 80 columns and 24 lines that shows the first page of all markets."""
    with on_terminal(COMMAND, environment(folder, **urls)) as terminal:
        terminal.until(lambda: "of 34 markets" in terminal.text)
        yield terminal


def status(terminal: Terminal) -> str:
    """Return the last line that is not blank."""
    return next((line for line in reversed(terminal.lines) if line), "")


def table(terminal: Terminal) -> tuple[list[str], list[str]]:
    """Return the heading and the rows of a picture that is whole."""

    def heading_line() -> int | None:
        lines = terminal.lines
        begins = [place for place, line in enumerate(lines) if line.startswith("market ")]
        is_whole = begins and "─" in lines[begins[-1] + 1] and "of 34 markets" in status(terminal)
        return begins[-1] if is_whole else None

    begin = terminal.until(heading_line)
    assert begin is not None
    lines = [line for line in terminal.lines[begin:] if line]
    return lines[0].split(), lines[2:-1]


def test_table_fits_80_columns_with_whole_numbers_and_the_status(terminal: Terminal) -> None:
    """Columns are missing, and no text is cut. The status is the last line."""
    heading, rows = table(terminal)
    assert {"market", "close"} <= set(heading)
    assert "open" not in heading
    assert len(rows) == 20
    for row in rows:
        # The name of a market is two words.
        cells = dict(zip(["exchange", *heading], row.split(), strict=True))
        numbers = [cells[name] for name in heading if name not in {"market", "minute", "state"}]
        assert all(NUMBER.match(number) for number in numbers), row
    assert status(terminal).startswith("1 to 20 of 34 markets · n next, p previous · ")
    assert status(terminal).endswith("Ctrl-C ends it")


@pytest.mark.parametrize("keys", [("n", "p"), ("\x1b[C", "\x1b[D"), ("\x1b[6~", "\x1b[5~")])
def test_keys_turn_pages(terminal: Terminal, keys: tuple[str, str]) -> None:
    """All markets are on the two pages, each once. They are not shown as they are typed."""
    onward, back = keys
    first = [" ".join(row.split()[:2]) for row in table(terminal)[1]]
    terminal.press(onward)
    terminal.until(lambda: status(terminal).startswith("21 to 34 of 34 markets"))
    second = [" ".join(row.split()[:2]) for row in table(terminal)[1]]
    terminal.press(back)
    terminal.until(lambda: status(terminal).startswith("1 to 20 of 34 markets"))
    assert len({*first, *second}) == len(first) + len(second) == 34
    assert keys[0] not in {line.strip() for line in terminal.lines}


def test_another_size_has_other_columns_and_rows(terminal: Terminal) -> None:
    """At once all columns and markets, or the price alone."""
    terminal.resize(140, 60)
    terminal.until(
        lambda: re.search(r"^market +minute +open +high +low +close", terminal.text, re.MULTILINE)
    )
    terminal.until(lambda: status(terminal).endswith(" s · Ctrl-C ends it"))
    markets = [line for line in terminal.lines if re.match(r"(binance|coinbase|kraken) ", line)]
    assert len(markets) == 34
    terminal.resize(32, 10)
    terminal.until(lambda: re.search(r"^market +close$", terminal.text, re.MULTILINE))
    terminal.until(lambda: status(terminal).startswith("1 to 6 of 34 markets"))
    terminal.resize(80, 24)
    terminal.until(lambda: status(terminal).startswith("1 to 20 of 34 markets"))


def test_ctrl_c_ends_it_and_sets_the_terminal_as_it_was(folder: Path, urls: dict[str, str]) -> None:
    """Store everything that was received. The feed is live whatever the setting says."""
    env = environment(folder, CANDLEWAX_FEED="sample", **urls)
    env["CANDLEWAX_CLICKHOUSE"] = str(folder / "other")
    with on_terminal(COMMAND, env) as terminal:
        before = terminal.modes()
        terminal.until(lambda: "of 34 markets" in terminal.text)
        assert terminal.modes() != before
        terminal.press("\x03")
        terminal.until(lambda: "all data received is stored" in terminal.text)
        assert terminal.process.wait(60) == 0
        assert terminal.modes() == before
    counted = "SELECT count() FROM silver_trades"
    assert int(query(folder, counted, CANDLEWAX_CLICKHOUSE=str(folder / "other"))[0][0]) > 0


def test_closed_terminal_ends_it_as_sigterm_does(folder: Path, urls: dict[str, str]) -> None:
    """With status 0, and everything that was received is stored."""
    place = str(folder / "closed")
    with on_terminal(
        COMMAND, {**environment(folder, **urls), "CANDLEWAX_CLICKHOUSE": place}
    ) as terminal:
        terminal.until(lambda: "of 34 markets" in terminal.text)
        terminal.hang_up()
        assert terminal.process.wait(60) == 0
    counted = "SELECT count() FROM silver_trades"
    assert int(query(folder, counted, CANDLEWAX_CLICKHOUSE=place)[0][0]) > 0


def test_nohup_outlives_its_terminal(tmp_path: Path, urls: dict[str, str]) -> None:
    """SIGHUP lets it take up the instruments file, as nothing of it is on a terminal."""
    log = tmp_path / "log"
    command = ("/bin/sh", "-c", f'exec nohup "$@" >{log} 2>&1', "sh", *COMMAND)
    with on_terminal(command, environment(tmp_path, **urls)) as terminal:
        until(lambda: log.exists() and "Simulated feeds into" in log.read_text())
        terminal.hang_up()
        until(lambda: "is taken up; added: none; dropped: none" in log.read_text())
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(60) == 0, log.read_text()
    assert "the terminal is gone" not in log.read_text()
    assert "all data received is stored" in log.read_text()


def test_live_refuses_a_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it opens anything."""
    monkeypatch.setenv("CANDLEWAX_BROKERS", "127.0.0.1:1")
    monkeypatch.setenv("CANDLEWAX_CLICKHOUSE", str(tmp_path / "tables"))
    monkeypatch.setenv("CANDLEWAX_FEED", "sample")
    with pytest.raises(SystemExit) as ended:
        live.run(argparse.Namespace(), ohlcv.build)
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(
        "candlewax: CANDLEWAX_BROKERS: live runs without a broker"
    )
    assert not (tmp_path / "tables").exists()
