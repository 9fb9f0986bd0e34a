"""`candlewax instruments`: the lists of simulated exchanges, and what becomes of the file."""

import errno
import os
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.cli.common import CommandError
from candlewax.cli.instruments_file import InstrumentsFile
from candlewax.data import INSTRUMENTS
from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support.command_inside import Done, command
from tests.support.exchange_server import running
from tests.support.ports import free_port
from tests.support.rest_client import serving

FILE = """\
# my markets
[kraken.subscribe]
"BTC/USD" = "BTC/USD"   # the first
GONE = "GONE/USD"
"SOL-USD" = "SOL/USD"

[kraken.also]
"XBT/USD" = "BTC/USD"

# kept as it is
[binance.subscribe]
BTCUSDT = "BTC/USDT"
"""

GONE = ("LINK/USD", "LINKUSDT")
"""Markets that their exchanges have no more."""


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """Addresses of simulated exchanges."""
    with running(Simulator(Plan(rate=1, fault_rates=FaultRates(refuse=GONE)))) as (simulator, _):
        exchanges = ("binance", "binance_usdm", "kraken", "coinbase")
        yield {f"CANDLEWAX_{e.upper()}_REST_URL": simulator.rest_url(e) for e in exchanges}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a section that is written and one that is not."""
    file = tmp_path / "instruments.toml"
    file.write_text(FILE)
    return file


def listing(path: Path, addresses: dict[str, str], *arguments: str) -> Done:
    """Run the command on a file."""
    return command("instruments", *arguments, CANDLEWAX_INSTRUMENTS=str(path), **addresses)


def section(path: Path, exchange: str, table: str) -> dict[str, object]:
    """Return a table of the file."""
    found: dict[str, object] = tomllib.loads(path.read_text())[exchange][table]
    return found


def test_top_markets_are_subscribed_and_nothing_written_is_lost(
    path: Path, addresses: dict[str, str]
) -> None:
    """Markets of the file get their facts; those that are delisted or renamed are told."""
    done = listing(path, addresses, "kraken", "--quote", "usd", "--top", "3")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("kraken: ")] == [
        "kraken: GONE (GONE/USD) is delisted",
        "kraken: SOL-USD is listed no more; SOL/USD is now SOL/USD",
        "kraken: SOL/USD is not added: SOL/USD is subscribed as SOL-USD, take that out first",
        f"kraken: 3 markets, of which 1 are subscribed newly, in {path}",
    ]
    bitcoin = '{ symbol = "BTC/USD", kind = "spot", tick = "0.1", status = "trading" }'
    assert (
        path.read_text()
        == f"""\
# my markets
[kraken.subscribe]
"BTC/USD" = {bitcoin}   # the first
GONE = {{ symbol = "GONE/USD", kind = "spot", status = "delisted" }}
SOL-USD = {{ symbol = "SOL/USD", kind = "spot", status = "delisted" }}
"ETH/USD" = {{ symbol = "ETH/USD", kind = "spot", tick = "0.01", status = "trading" }}

[kraken.also]
"XBT/USD" = "BTC/USD"

# kept as it is
[binance.subscribe]
BTCUSDT = "BTC/USDT"
"""
    )
    written = path.read_bytes()
    again = listing(path, addresses, "kraken", "--quote", "USD", "--top", "3")
    assert f"3 markets; {path} lists them already" in again.stdout
    assert path.read_bytes() == written


def test_markets_are_listed_by_the_value_traded_in_a_day(
    path: Path, addresses: dict[str, str]
) -> None:
    """A dry run shows them and writes nothing."""
    done = listing(path, addresses, "binance", "--top", "2", "--dry-run")
    header, first, second, last = done.stdout.splitlines()
    assert header.split() == [
        "market",
        "symbol",
        "kind",
        "contract",
        "tick",
        "value",
        "of",
        "24",
        "h",
    ]
    assert first.split()[:5] == ["BTCUSDT", "BTC/USDT", "spot", "-", "0.01"]
    assert second.split()[:2] == ["ETHUSDT", "ETH/USDT"]
    assert last == "binance: 2 markets; nothing is written, as --dry-run asks"
    assert path.read_text() == FILE


def test_new_exchange_gets_its_section(path: Path, addresses: dict[str, str]) -> None:
    """Named markets are subscribed, all others of the second command are known only."""
    listing(path, addresses, "coinbase", "--symbol", "ETH/USD", "--symbol", "BTC-USD")
    assert path.read_text().startswith(FILE.rstrip() + "\n\n[coinbase.subscribe]\nBTC-USD = {")
    assert list(section(path, "coinbase", "subscribe")) == ["BTC-USD", "ETH-USD"]
    done = listing(path, addresses, "coinbase")
    assert done.stdout.splitlines()[-1].endswith("--quote, --top and --symbol subscribe")
    names = ["SOL", "XRP", "ADA", "DOT", "DOGE", "LTC", "AVAX", "ATOM", "LINK"]
    assert section(path, "coinbase", "also").keys() == {f"{name}-USD" for name in names}
    assert list(section(path, "coinbase", "subscribe")) == ["BTC-USD", "ETH-USD"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["kraken", "--quote", "XYZ"], "candlewax: --quote XYZ: kraken has USD"),
        (["kraken", "--symbol", "XYZ"], "candlewax: --symbol XYZ: kraken lists no such market"),
        (["kraken", "--symbol", "LINK/USD"], "LINK/USD: kraken lists no such market that trades"),
        (["kraken", "--symbol", "XYZ", "--top", "1"], "--symbol XYZ: kraken lists no such market"),
        (["kraken", "--top", "0"], "argument --top: takes a number from 1 on; got '0'"),
        (["nasdaq"], "invalid choice: 'nasdaq'"),
    ],
)
def test_choice_of_no_market_is_an_error(
    path: Path, addresses: dict[str, str], arguments: list[str], error: str
) -> None:
    """Nothing is written."""
    done = listing(path, addresses, *arguments)
    assert done.returncode in (1, 2)
    assert error in done.stderr
    assert path.read_text() == FILE


def test_exchange_that_does_not_answer_changes_nothing(path: Path) -> None:
    """The message names the exchange and the address."""
    url = f"http://127.0.0.1:{free_port()}"
    done = listing(path, {"CANDLEWAX_KRAKEN_REST_URL": f"{url}/kraken"}, "kraken", "--top", "1")
    assert done.returncode == 1
    assert f"candlewax: kraken: no answer from {url}" in done.stderr
    assert path.read_text() == FILE


def test_answer_that_is_no_list_changes_nothing(path: Path) -> None:
    """The message is one line that names the exchange, the address and what was wrong."""
    with serving((502, {}, b"<html>Bad Gateway</html>")) as server:
        done = listing(path, {"CANDLEWAX_OKX_REST_URL": server.url}, "okx", "--top", "1")
    assert done.returncode == 1
    paths = "/api/v5/public/instruments?instType=SPOT"
    assert done.stderr == f"candlewax: okx: {server.url}: status 502, at {paths}\n"
    assert path.read_text() == FILE


def test_write_in_place_that_fails_leaves_the_old_text(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full after half of the new text takes the old one, which is there already."""
    calls: list[int] = []

    def sync(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:  # the first is of the text that is read back before
            os.ftruncate(handle, 20)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(CommandError, match="cannot be written: No space left on device"):
        InstrumentsFile(path).write("kraken", {"also": {"A/B": "A/B"}}, in_place=True)
    assert path.read_text() == FILE
    assert len(calls) == 3


def test_file_written_in_another_layout_is_not_rewritten(
    path: Path, addresses: dict[str, str]
) -> None:
    """The message says how to write it."""
    text = 'kraken = {subscribe = {"BTC/USD" = "BTC/USD"}}\n'
    path.write_text(text)
    done = listing(path, addresses, "kraken", "--top", "1")
    assert done.returncode == 1
    assert "one a line below [kraken.subscribe] and [kraken.also]" in done.stderr
    assert path.read_text() == text


def test_bundled_file_is_copied_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of the installation stays; a link stays a link to the file that is replaced."""
    monkeypatch.chdir(tmp_path)
    bundled = INSTRUMENTS.read_bytes()
    market = {"symbol": "A/B", "tick": "0.1"}
    assert InstrumentsFile(INSTRUMENTS).write("kraken", {"also": {"A/B": market}})
    assert INSTRUMENTS.read_bytes() == bundled
    own = tmp_path / "instruments.toml"
    assert b'\n"A/B" = { symbol = "A/B", tick = "0.1" }\n' in own.read_bytes()

    link = tmp_path / "link.toml"
    link.symlink_to(own)
    assert InstrumentsFile(link).write("kraken", {"also": {"C/D": "C/D"}})
    assert link.is_symlink()
    assert b'"C/D" = "C/D"' in own.read_bytes()
    before = own.stat().st_ino
    assert InstrumentsFile(own).write("kraken", {"also": {"E/F": "E/F"}}, in_place=True)
    assert b'"E/F" = "E/F"' in own.read_bytes()
    assert own.stat().st_ino == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["instruments.toml", "link.toml"]


def test_file_in_a_folder_that_cannot_be_written_is_written_in_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that is mounted alone into a container; what is read back before is elsewhere."""
    made, make = list[Path | None](), tempfile.mkstemp

    def record(suffix: str, prefix: str, folder: Path | None) -> tuple[int, str]:
        made.append(folder)
        return make(suffix, prefix, folder)

    monkeypatch.setattr(tempfile, "mkstemp", record)
    assert InstrumentsFile(path).write("kraken", {"also": {"A/B": "A/B"}}, in_place=True)
    assert made == [None]
    assert InstrumentsFile(path).write("kraken", {"also": {"C/D": "C/D"}})
    assert made == [None, path.parent]


def test_file_that_changed_meanwhile_or_would_be_broken_stays(path: Path) -> None:
    """A text that another program wrote is not overwritten."""
    file = InstrumentsFile(path)
    with pytest.raises(CommandError, match="tick = 'x', takes a positive decimal"):
        file.write("kraken", {"also": {"A/B": {"symbol": "A/B", "tick": "x"}}})
    path.write_text(FILE + "# more\n")
    with pytest.raises(CommandError, match="was changed meanwhile"):
        file.write("kraken", {"also": {"A/B": "A/B"}})
    assert path.read_text() == FILE + "# more\n"
    assert list(path.parent.iterdir()) == [path]
