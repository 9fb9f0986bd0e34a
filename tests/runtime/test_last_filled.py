"""Commands that only read use the database that was filled last."""

import json
from pathlib import Path

import pytest

from candlewax.cli.main import main
from candlewax.clickhouse.client import Database, open_tables
from candlewax.core.kind_marks import REAL, SAMPLE_KIND, SIMULATED
from candlewax.pipeline.data_kind import claim, settings_for_kind
from candlewax.runtime import last_filled
from candlewax.runtime.last_filled import FILE, remember_database
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import load
from tests.support.clickhouse_process import ROOT, Serving, serving

pytestmark = pytest.mark.slow("nearly every test starts a process", seconds=5)


KINDS = (SAMPLE_KIND, SIMULATED, REAL)


def test_directory_filled_last_is_used_if_none_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: Database
) -> None:
    """Each kind has its own directory. If the last one is unknown or gone, the sample's is used."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(last_filled, "FILE", FILE)
    assert (load({}).clickhouse, load({}).is_placed) == (Path("data/sample"), False)
    for kind in KINDS:
        fills = settings_for_kind(load({}), kind)
        assert fills.clickhouse == Path("data") / kind
        assert fills.is_simulated is (kind == SIMULATED)
    Path("data/real").mkdir(parents=True)
    claim(tables, Path("data/real"), "other", REAL)
    assert json.loads(Path("data/last.json").read_text()) == {
        "clickhouse": "data/real", "database": "other",
    }  # fmt: skip
    assert (load({}).clickhouse, load({}).database) == (Path("data/real"), "other")
    assert load({"CANDLEWAX_DATABASE": "mine"}).database == "mine"
    set_here = load({"CANDLEWAX_CLICKHOUSE": "elsewhere"})
    assert (set_here.clickhouse, set_here.database) == (Path("elsewhere"), "market")
    assert settings_for_kind(set_here, REAL).clickhouse == Path("elsewhere")
    Path("data/real").rmdir()
    assert load({}).clickhouse == Path("data/sample")
    Path("data/last.json").write_text("{")
    assert load({}).clickhouse == Path("data/sample")


@pytest.fixture
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which no database was filled yet."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("CANDLEWAX_INSTRUMENTS", str(ROOT / "instruments.toml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(last_filled, "FILE", FILE)


def run(*arguments: str) -> int:
    """Run a command here and return its status."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@pytest.mark.usefixtures("_fresh")
def test_directory_elsewhere_is_used_if_none_is_set(tmp_path: Path, tables: Database) -> None:
    """Also if there is no data directory here yet."""
    claim(tables, tmp_path, "market", REAL)
    assert load({}).clickhouse == tmp_path


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize("place", [Path("/elsewhere"), Path("here"), Server("http://host:8123")])
def test_unwritable_folder_is_no_error(
    caplog: pytest.LogCaptureFixture, place: Path | Server
) -> None:
    """It is logged only if the database itself lies there."""
    FILE.parent.write_text("no directory")
    remember_database(place, "market")
    assert ("cannot be written" in caplog.text) is (place == Path("here"))
    assert load({}).clickhouse == Path("data/sample")


@pytest.mark.usefixtures("_fresh")
def test_server_filled_last_is_used_if_none_is_set(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The command prints which one."""
    with serving(tmp_path / "server") as server:
        place = Server(server.dsn)
        tables = open_tables(place, "filled")
        claim(tables, place, "filled", REAL)
        tables.close()
        assert run("sql", "SELECT kind FROM database_kind", "--format", "TSV") == 0
        captured = capfd.readouterr()
        assert captured.out == f"{REAL}\n"
        assert f"Reading {server.address}, database filled\n" in captured.err
        for command in ("verify", "gaps"):
            assert run(command) in (0, 2)  # no candles to compare
            assert f"Reading {server.address}, database filled\n" in capfd.readouterr().err


@pytest.mark.usefixtures("_fresh")
def test_password_is_not_remembered(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A command that needs it names the setting."""
    server = Serving(tmp_path / "server", "reader", "s3cret")
    try:
        remember_database(Server(server.dsn), "filled")
        assert "s3cret" not in FILE.read_text()
        assert run("sql", "SELECT 1") == 1
        errors = capfd.readouterr().err
        assert "its password is not remembered, set CANDLEWAX_CLICKHOUSE" in errors
        assert "ClickHouse refuses the user or the password" in errors
    finally:
        server.end()


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize(
    ("dsn", "kept", "lacks"),
    [
        ("http://host:8123", "http://host:8123", False),
        ("https://host", "https://host", False),
        ("http://default:@host:8123", "http://default:@host:8123", False),
        ("http://me@[::1]:8123", "http://me:@[::1]:8123", False),
        ("http://me:s3cret@host:8123", "http://me@host:8123", True),
        ("http://m%40e:s3cret@host:8123/db", "http://m%40e@host:8123", True),
        ("http://host:8123/?user=me&password=s3cret", "http://@host:8123", True),
    ],
)
def test_address_is_remembered_without_secrets(dsn: str, kept: str, *, lacks: bool) -> None:
    """Parts that could be a secret are dropped."""
    remember_database(Server(dsn), "filled")
    assert json.loads(FILE.read_text()) == {"clickhouse": kept, "database": "filled"}
    settings = load({})
    assert isinstance(settings.clickhouse, Server)
    assert settings.clickhouse.dsn == kept
    assert settings.database == "filled"
    assert last_filled.lacks_password(settings.clickhouse) is lacks
    assert settings_for_kind(settings, REAL).clickhouse == Path("data/real")
