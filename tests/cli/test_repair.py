"""`candlewax repair` on databases of simulated exchanges."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database, open_tables
from candlewax.runtime.setting_parsers import Server
from candlewax.simulator.server import Simulator
from tests.docs.commands import read
from tests.support.clickhouse_process import serving
from tests.support.command_inside import Done, command
from tests.support.command_process import name
from tests.support.mending import asked, gaps, hear, mend, played
from tests.support.processes import candlewax

pytestmark = pytest.mark.slow("processes over a server", seconds=10)

EXCHANGE = "binance"


@contextmanager
def given_up_gap(tables: Database) -> Iterator[tuple[Simulator, Callable[[int], None]]]:
    """A market with a given-up gap, on an exchange that returns only its latest five trades.

    Yields the simulator, and a function that sets how many trades it returns.
    """
    with played(oldest=5) as (simulator, run):

        def set_shown_trades(trades: int) -> None:
            async def apply() -> None:
                simulator.show(trades)

            run(apply())

        hear(
            tables, simulator, EXCHANGE,
            lambda n, trade: trade.market.native_symbol == "BTCUSDT" and n not in {3, 4},
        )  # fmt: skip
        mend(tables, asked(simulator, EXCHANGE))
        (gap,) = gaps(tables)
        assert gap["state"] == "unrepairable"
        yield simulator, set_shown_trades


def repair(place: object, tables: Database, simulator: Simulator, *arguments: str) -> Done:
    """Run the command on a database, with the simulator's REST."""
    return command(
        "repair",
        *arguments,
        CANDLEWAX_CLICKHOUSE=str(place),
        CANDLEWAX_DATABASE=name(tables),
        CANDLEWAX_BINANCE_REST_URL=simulator.rest_url(EXCHANGE),
        no_proxy="*",
    )


def test_repair_fills_a_given_up_gap_only_with_again(tables: Database, engine_path: Path) -> None:
    """The exit status is 0 if no gap is left to fill."""
    with given_up_gap(tables) as (simulator, show):
        show(0)
        done = repair(engine_path, tables, simulator)
        assert done.returncode == 0, done.stderr
        assert "0 gaps, 0 trades missing" in done.stdout
        assert gaps(tables)[0]["state"] == "unrepairable"
        done = repair(engine_path, tables, simulator, "--again")
        assert done.returncode == 0, done.stderr
    assert "1 gaps filled, 2 trades; 0 given up, 0 left" in done.stdout
    assert gaps(tables)[0]["state"] == "repaired"


def test_gap_that_is_still_lacking_is_named_with_status_1(
    tables: Database, engine_path: Path
) -> None:
    """The output holds the reason why it is given up."""
    with given_up_gap(tables) as (simulator, _):
        done = repair(engine_path, tables, simulator, "--again")
    assert done.returncode == 1
    assert "0 gaps filled, 0 trades; 1 given up, 0 left" in done.stdout
    assert "too old: the exchange shows trades from" in re.sub(r"\s+", " ", done.stdout)


def test_long_gap_is_requested_only_if_it_is_named(
    tables: Database, engine_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output says the limit, and for a named gap the number of requests."""
    for module in (
        "candlewax.core.gaps.fill_plan",
        "candlewax.pipeline.reports.gap_fill",
        "candlewax.cli.repair",
    ):
        monkeypatch.setattr(f"{module}.MAX_GAP_NUMBERS", 1)
    with given_up_gap(tables) as (simulator, show):
        show(0)
        first = gaps(tables)[0]["first_sequence"]
        done = repair(engine_path, tables, simulator, "--again")
        assert done.returncode == 1
        assert "1 of them of more than 1 numbers are not requested" in done.stdout
        assert "candlewax repair --first NUMBER requests one" in done.stdout
        done = repair(engine_path, tables, simulator, "--first", str(first))
        assert done.returncode == 0, done.stderr
    assert f"binance BTC/USDT from {first}: 2 numbers, up to 1 requests" in done.stdout
    assert gaps(tables)[0]["state"] == "repaired"


def test_again_fills_gaps_of_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an embedded database."""
    monkeypatch.setenv("no_proxy", "*")
    with serving(tmp_path) as server:
        tables = open_tables(Server(server.dsn), "market")
        with given_up_gap(tables) as (simulator, show):
            show(0)
            done = repair(server.dsn, tables, simulator, "--again")
        assert done.returncode == 0, done.stderr
        assert gaps(tables)[0]["state"] == "repaired"
        tables.close()


def test_directory_in_use_is_refused_in_one_sentence(
    tables: Database, engine_path: Path, tmp_path: Path
) -> None:
    """The process of this test uses the directory."""
    settings = {"CANDLEWAX_CLICKHOUSE": str(engine_path), "CANDLEWAX_DATABASE": name(tables)}
    done = candlewax(tmp_path, "repair", "--again", **settings)
    assert done.returncode == 2
    assert done.stderr == (
        f"candlewax: {engine_path}: in use by another process; an embedded database belongs to "
        "one at a time\n"
    )
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("--symbol", "DOGE/EUR"), {}, "--symbol: got 'DOGE/EUR', of which there is no gap"),
        (("--first", "77"), {}, "--first: got 77, with which no gap begins"),
        (("--first", "-1"), {}, "--first: got '-1', takes the first number of a gap"),
        (("--exchange", "mtgox"), {}, "--exchange: invalid choice: 'mtgox'"),
        (
            ("--exchange", "kraken"),
            {"CANDLEWAX_KRAKEN_URL": "ws://127.0.0.1:1/x"},
            "CANDLEWAX_KRAKEN_REST_URL: needed to ask kraken",
        ),
    ],
)
def test_wrong_options_end_with_2_before_any_request(
    tables: Database,
    engine_path: Path,
    arguments: tuple[str, ...],
    settings: dict[str, str],
    message: str,
) -> None:
    """The message names the option and no traceback is printed."""
    done = command(
        "repair",
        *arguments,
        CANDLEWAX_CLICKHOUSE=str(engine_path),
        CANDLEWAX_DATABASE=name(tables),
        **settings,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_directory_is_not_created(tmp_path: Path) -> None:
    """The command ends with status 2."""
    place = tmp_path / "none"
    done = command("repair", CANDLEWAX_CLICKHOUSE=str(place))
    assert done.returncode == 2
    assert "no database here" in done.stderr
    assert not place.exists()


DOCUMENTED = sorted(
    {
        " ".join(documented.words[2:])
        for documented in read().commands
        if documented.words[1:2] == ["repair"] and "[" not in documented.text
    }
)


@pytest.mark.parametrize("arguments", DOCUMENTED)
def test_documented_commands_run(tables: Database, engine_path: Path, arguments: str) -> None:
    """README, docs and runbooks show them; here they name the first number of this gap."""
    with given_up_gap(tables) as (simulator, show):
        show(0)
        first = str(gaps(tables)[0]["first_sequence"])
        words = [first if word.isdigit() else word for word in arguments.split()]
        done = repair(engine_path, tables, simulator, *words)
    assert done.returncode == 0, done.stderr


def test_some_commands_are_documented() -> None:
    """So the test above runs at least these."""
    assert {"", "--again"} < set(DOCUMENTED)
