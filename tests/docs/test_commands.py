"""Every command and statement of README, docs and runbooks is run, or checked by other means."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from candlewax.cli import main
from tests.docs import playing
from tests.docs.checking import CHECKS
from tests.docs.commands import Command, program, read
from tests.support.processes import Done, commands

pytestmark = pytest.mark.slow("plays the sample and what the pages show", seconds=25)


PICTURE: Final = re.compile(r"[─▶│└├]|^[\w ]+$")
"""Lines of a picture, or words beside each other."""

NO_COMMANDS: Final = {
    **dict.fromkeys(
        (
            "class TestConformance",
            "    declared = Declared(",
            '        "coinbase"',
            "        frames=",
            "        trades=",
            "        ...",
            "    )",
            "TRADE = {",
        ),
        "parts of a module",
    ),
    "manifests/": "files of an archive",
    **dict.fromkeys(('"name": "binance"', '"only_from', '"ccxt_'), "lines of freqtrade's settings"),
    "warehouse/": "a folder of an archive",
    **dict.fromkeys(
        (
            '{"candlewax":"',
            '"files":[',
            '"9f86d0',
            '{"begin":',
            '"format":1',
            '"previous":',
            '"tables":',
            '"silver/trades',
            '"uuid"',
            '"units":[',
            '"exchange":',
            '"layer":',
        ),
        "a manifest; tests/cold/test_manifest_page.py reads it",
    ),
    **dict.fromkeys(
        ("[binance.subscribe]", "BTCUSDT = ", "ETHUSDT = "),
        "lines of an instruments file, as tests/core/test_instruments.py reads them",
    ),
    "openssl ": "a program of others; tests/cold/test_seal.py checks a signature",
    "base64 -d": "the same",
    "python3.12 -m venv": "an installation for root, as test_wheel makes one",
    "/opt/candlewax/bin/pip install candlewax-": "the same",
    "cp deploy/systemd/": "a unit that tests/deploy/test_systemd.py checks",
    "systemctl ": "a program of others, not run: the page says so",
    "kubectl ": "a program of others, not run: the page says so",
    "cp deploy/nginx/": "a configuration that tests/deploy/test_nginx.py runs",
    "printf 'NAME:": "passwords, made the same way in tests/deploy/test_nginx.py",
    "[binance.bars]": "lines of an instruments file; tests/core/test_instruments.py reads such",
    '"BTC/USDT" = ["tick': "the same",
    "spark-sql": "a program of others, not run: the page says so",
    'TRADE = {"s": Field(TEXT)': "a line of a module, in the page on adding an exchange",
    'TRADES = TradeFormat("s", "t"': "a line of a module, in the page on adding an exchange",
    '{"ready": false, "checks"': "an answer of /readyz; tests/runtime/test_http_status.py asks it",
}
"""Lines in blocks that nobody types, and what they are."""

SERVER_ONLY: Final = {"system.query_log": "chDB keeps no log of queries; a server does"}
"""Tables that the embedded engine, which is also the server of tests, lacks. The statement is
parsed by the engine all the same.
"""

ELSEWHERE: Final = {
    "read_parquet(": "a statement of DuckDB",
    "icebergS3(": "needs an object store: tests/cold/test_servers.py has one",
    "sum(xxh3(columns))": "needs a file of an archive: tests/cold/test_manifest_page.py has one",
    "load_pem_public_key": "needs an archive: tests/cold/test_manifest_page.py has one",
    "SqlCatalog": "needs an archive: tests/cold/test_archive_page.py has one",
}
"""Parts of statements and programs that cannot be played here, and what plays them."""

PLAYED: Final = {
    "--version": {0}, "sql": {0}, "verify": {0}, "gaps": {0, 1}, "rebuild": {0}, "check": {0},
    "export": {0}, "status": {0, 1},
}  # fmt: skip
"""Commands that end by themselves and need nothing else, with the statuses they may have."""


def _is_played_here(one: Command) -> bool:
    return not any(part in one.text for part in ELSEWHERE)


_ALL: Final = read()
FOUND: Final = replace(
    _ALL,
    statements=[one for one in _ALL.statements if _is_played_here(one)],
    programs=[one for one in _ALL.programs if _is_played_here(one)],
)

BEHIND: Final = re.compile(
    r"docker compose (exec|run --rm --entrypoint candlewax) (\w+) candlewax |"
)
LIVE_NETWORK: Final = "what it needs is not here: an exchange, a file of one, or a terminal"


def _is_synopsis(command: Command) -> bool:
    return bool(re.search(r"\[|…|\b[A-Z]{4,}\b", re.sub(r"'.*'|\".*\"", "", command.text)))


def _of(name: str) -> list[Command]:
    def ours(command: Command) -> str:
        words = command.words
        return words[0].removeprefix(".venv/bin/") if words else ""

    return [command for command in FOUND.commands if ours(command) == name]


OURS: Final = [command for command in _of("candlewax") if not _is_synopsis(command)]
PLAYABLE: Final = [one for one in OURS if len(one.words) > 1 and one.words[1] in PLAYED
                   and "--exchange-candles" not in one.text
                   and one.text != "candlewax export"]  # fmt: skip
CURLS: Final = [one for one in FOUND.commands if "curl" in one.text and ":8000" in one.text]
NOTEBOOK: Final = "examples/candles.ipynb"
EXAMPLES: Final = [one for one in _of("python") if "examples/" in one.text]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Done]:
    """Play all on one filled database, each way after the other: it belongs to one at a time."""
    folder = tmp_path_factory.mktemp("docs")
    playing.fill(folder)
    sql = [one.text for one in FOUND.statements] + [
        one.words[2] for one in PLAYABLE if one.words[1] == "sql"
    ]
    sql = [one for one in dict.fromkeys(sql) if not one.startswith(("ALTER", "DROP"))]
    texts = _each_once([one.words[1:] for one in PLAYABLE if not _is_written(one)])
    texts = _each_once([*texts, *(["sql", one] for one in sql)])
    found: dict[tuple[str, str], Done] = {}

    def keep(way: str, commands: list[list[str]], done: list[Done]) -> None:
        found.update(
            {(way, " ".join(words)): one for words, one in zip(commands, done, strict=True)}
        )

    keep("embedded", texts, commands(folder, [_into(folder, words) for words in texts]))
    with playing.page(folder) as port:
        for one in CURLS:
            found["page", one.text] = playing.shell(one.text, folder, port)
        for one in FOUND.programs:
            found["page", one.text] = playing.python(one.text, folder, port)
        for one in EXAMPLES:
            found["page", one.text] = playing.example(one.words[1], port)
        found["page", NOTEBOOK] = playing.notebook(NOTEBOOK, folder, port)
    with playing.server(folder) as dsn:
        for text in sql:
            found["http", text] = playing.http(dsn, text)
        behind = _each_once(
            [one.words[1:] for one in PLAYABLE if one.words[1] in {"sql", "verify"}]
        )
        keep("server", behind, commands(folder, behind, CANDLEWAX_CLICKHOUSE=dsn))
    return found


def _into(folder: Path, words: list[str]) -> list[str]:
    """Return a command that writes its files into a folder."""
    return [words[0], str(folder / words[1]), *words[2:]] if words[0] == "export" else words


def _each_once(commands: list[list[str]]) -> list[list[str]]:
    return [list(words) for words in dict.fromkeys(map(tuple, commands))]


def _is_written(command: Command) -> bool:
    """Tell whether a command changes tables: it is played last, on the server."""
    return "ALTER" in command.text or "DROP" in command.text


def _check(where: str, way: str, done: Done, statuses: set[int]) -> None:
    if lacking := [name for name in SERVER_ONLY if name in where]:
        assert "UNKNOWN_TABLE" in done.complained, f"{lacking}: no longer lacking ({way}): {where}"
        return
    assert done.status in statuses, (
        f"{where}\nended with {done.status} ({way}), expected {sorted(statuses)}:\n"
        f"{done.complained[-1500:] or done.said[-1500:]}"
    )
    assert "Traceback" not in done.complained, f"{where} ({way})\n{done.complained[-1500:]}"


@pytest.mark.parametrize("command", PLAYABLE, ids=str)
def test_command_ends_as_documented(command: Command, played: dict[tuple[str, str], Done]) -> None:
    """On the embedded database, and `sql` and `verify` behind a server and by HTTP as well."""
    words = command.words
    name, key = words[1], " ".join(words[1:])
    ways = [way for way in ("embedded", "server") if (way, key) in played]
    assert ways, f"{command}: was not played"
    for way in ways:
        _check(str(command), way, played[way, key], PLAYED[name])
    if name == "sql" and not _is_written(command):
        _check(str(command), "http", played["http", words[2]], {0})


@pytest.mark.parametrize("statement", FOUND.statements, ids=lambda one: f"{one.page}:{one.line}")
def test_statement_runs(statement: Command, played: dict[tuple[str, str], Done]) -> None:
    """By `candlewax sql` and by HTTP."""
    _check(str(statement), "embedded", played["embedded", f"sql {statement.text}"], {0})
    _check(str(statement), "http", played["http", statement.text], {0})


@pytest.mark.parametrize(
    "command", [*CURLS, *FOUND.programs, *EXAMPLES], ids=lambda one: f"{one.page}:{one.line}"
)
def test_page_answers(command: Command, played: dict[tuple[str, str], Done]) -> None:
    """What is asked of port 8000."""
    _check(str(command), "page", played["page", command.text], {0})


def test_notebook_runs_and_finds_candles(played: dict[tuple[str, str], Done]) -> None:
    _check(NOTEBOOK, "page", played["page", NOTEBOOK], {0})
    assert played["page", NOTEBOOK].said == "True True\n"


@pytest.mark.parametrize("command", _of("candlewax"), ids=str)
def test_command_and_its_options_exist(command: Command) -> None:
    """Including commands that run until they are stopped, or need an exchange."""
    words = command.words
    if len(words) == 1:
        return
    if words[1] == "--version":
        return
    assert words[1] in main.COMMANDS, f"{command}: there is no such command"
    # Two words may be its name only.
    if len(words) > 2 and not _is_synopsis(command):
        try:
            main.build_parser(words[1]).parse_args(words[1:])
        except SystemExit:
            pytest.fail(f"{command}: its options are refused; candlewax {words[1]} --help")


@pytest.mark.parametrize("command", FOUND.commands, ids=str)
def test_command_is_known(command: Command) -> None:
    """Each part of a line names programs, files, services, targets and modules that exist."""
    for words in command.parts:
        name = words[0].removeprefix(".venv/bin/")
        assert name in CHECKS, f"{command}: say in CHECKS how {name} is checked"
        wrong = CHECKS[name](words)
        assert wrong is None, f"{command}: {wrong}"


def test_blocks_hold_nothing_unknown() -> None:
    """What is no command, statement, program or picture is listed, with what it is."""
    unknown = [
        str(one)
        for one in FOUND.others
        if not PICTURE.search(one.text) and not one.text.startswith(tuple(NO_COMMANDS))
    ]
    assert not unknown, "say in NO_COMMANDS what these are, or in PROGRAMS that they are commands"


def test_extraction_sees_commands_of_all_pages() -> None:
    """A parser that finds nothing would pass everything."""
    pages = {Path(one.page).name for one in FOUND.commands}
    assert {"README.md", "operating.md", "api.md", "first-query.md", "CandlewaxLag.md"} <= pages
    assert len(PLAYABLE) > 20
    assert len(CURLS) > 5
    assert program("A=b .venv/bin/candlewax gaps") == "candlewax"
