"""All addresses below a path."""

import fcntl
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from candlewax.cli import process_status, serve_options
from candlewax.cli.serve_options import ListenAddress
from candlewax.clickhouse.client import Database, connect
from candlewax.clickhouse.served_address import find_address
from candlewax.runtime.setting_parsers import Server
from candlewax.web.app import STATIC
from tests.support.web_server import BEGIN, MARKET, Client, filled_tables, serving

PREFIX = "/markets/candlewax"
CANDLES = f"{PREFIX}/api/v1/ohlcv/1m"


@pytest.fixture(scope="module")
def client(engine: Database, engine_path: Path) -> Iterator[Client]:
    with (
        filled_tables(engine, engine_path, "of_prefix", 5, 3) as tables,
        serving(tables, engine_path, prefix=PREFIX) as served,
    ):
        yield served.client


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "<title>Candlewax</title>"),
        ("/docs", "OpenAPI"),
        ("/static/js/app.js", "import"),
        ("/api/v1", "candlewax"),
        ("/api/v1/symbols", "BTC/USDT"),
        ("/api/v3/klines?symbol=BTCUSDT&interval=1m", str(int(BEGIN.timestamp() * 1000))),
        ("/?query=SELECT+count()+FROM+ohlcv_1m", "5"),
        ("/ping", "Ok."),
    ],
)
def test_address_is_below_the_prefix_only(client: Client, path: str, text: str) -> None:
    """Without it there is nothing, and the answer names the prefix."""
    answer = client.ask(PREFIX + path)
    assert answer.status == 200
    assert text in answer.body.decode()
    without = client.ask(path)
    assert without.refusal == (404, "not_found", None)
    assert f"all is below {PREFIX}/" in without.json["error"]["message"]


@pytest.mark.parametrize("path", [f"{PREFIX}x", f"{PREFIX}x/api/v1", "/markets"])
def test_path_that_only_begins_alike_is_none_of_ours(client: Client, path: str) -> None:
    assert client.ask(path).status == 404


@pytest.mark.parametrize(("query", "kept"), [("", ""), ("?query=SELECT+1", "?query=SELECT+1")])
def test_prefix_without_its_slash_leads_to_the_page(client: Client, query: str, kept: str) -> None:
    """With the query; a form is posted again as it is."""
    answer = client.ask(PREFIX + query)
    assert (answer.status, answer.headers["location"]) == (308, f"{PREFIX}/{kept}")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_links_to_next_pages_hold_the_prefix(client: Client) -> None:
    """In the body and in the header."""
    first = client.ask(CANDLES, {**MARKET, "limit": 2})
    link = first.json["next"]
    assert link.startswith(f"{CANDLES}?")
    assert first.headers["link"] == f'<{link}>; rel="next"'
    starts = [row["window_start"] for row in first.rows + client.ask(link).rows]
    assert len(set(starts)) == 4


def test_document_of_the_api_names_the_prefix(client: Client) -> None:
    """Programs put it before the paths."""
    document = client.ask(f"{PREFIX}/openapi.json").json
    assert [server["url"] for server in document["servers"]] == [PREFIX]
    assert "/api/v1/symbols" in document["paths"]


@pytest.mark.parametrize("path", sorted([*STATIC.glob("*.html"), *STATIC.glob("js/*.js")]))
def test_pages_and_scripts_name_addresses_relative_to_their_own(path: Path) -> None:
    """An absolute one would leave the prefix."""
    found = re.findall(r"""["'`(]/(?:api|docs|openapi|static|ping)\b""", path.read_text("utf-8"))
    assert not found


def test_other_commands_find_and_ask_the_address_below_the_prefix(
    client: Client, tmp_path: Path
) -> None:
    address = ListenAddress("127.0.0.1", client.port, (), PREFIX)
    with (
        (tmp_path / "status").open("wb") as lock,
        serve_options.announce(tmp_path, "up", address, client.port),
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        served = find_address(tmp_path)
    assert served
    assert served.url == f"http://127.0.0.1:{client.port}{PREFIX}"
    with closing(connect(Server(served.url), "of_prefix")) as tables:
        assert tables.query_once("SELECT count() AS n FROM ohlcv_1m")["n"][0] == 5
    health = process_status.read_health(served.url)
    assert health
    assert health["database"] == "there"
