"""Settings: what they take, and what they say when they are wrong."""

from pathlib import Path

import pytest

from candlewax.data import SAMPLE
from candlewax.settings import Server, Settings, SettingsError, load

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are those of the repository."""
    monkeypatch.chdir(ROOT)


NO_FILE = Path("no such file")


def read(dotenv: Path = NO_FILE, **settings: str) -> Settings:
    return load({f"CANDLEWAX_{name}": text for name, text in settings.items()}, dotenv)


def test_defaults_need_no_setting() -> None:
    """The sample into a directory here."""
    found = read()
    assert found == Settings(
        "sample", Path("data/clickhouse"), "market", None, Path("instruments.toml")
    )
    assert found.logs == (SAMPLE,)


def test_an_empty_text_counts_as_unset() -> None:
    """As shells and compose files leave it."""
    assert read(FEED="", DATABASE=" ") == read()


def test_a_feed_may_be_several_logs(tmp_path: Path) -> None:
    """Comma-separated, spaces between do not matter."""
    logs = [tmp_path / "a.tsv", tmp_path / "b.tsv.gz"]
    for path in logs:
        path.touch()
    assert read(FEED=f"{logs[0]}, {logs[1]}").logs == tuple(logs)


def test_a_server_keeps_its_password_to_itself() -> None:
    """Only the client gets to see it."""
    found = read(CLICKHOUSE="https://user:secret@host:8443")
    assert isinstance(found.clickhouse, Server)
    assert found.clickhouse.dsn == "https://user:secret@host:8443"
    assert "secret" not in f"{found} {found!r} {found.clickhouse}"
    assert str(found.clickhouse) == "https://host:8443"


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    """A file for the usual, a variable for once."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("CANDLEWAX_DATABASE=file\nCANDLEWAX_EXCHANGES='kraken, coinbase'\nOTHER=1\n")
    assert read(dotenv).database == "file"
    assert read(dotenv).exchanges == ("kraken", "coinbase")
    assert read(dotenv, DATABASE="variable").database == "variable"


@pytest.mark.parametrize(
    ("name", "text", "takes"),
    [
        ("FEED", "missing.tsv", "missing.tsv is none"),
        ("FEED", "tests", "readable files"),
        ("FEED", "a.tsv,,b.tsv", "without empty items"),
        ("FEED", "live", "recordings only"),
        ("CLICKHOUSE", "tcp://host:9000", "a directory, or http://"),
        ("CLICKHOUSE", "http://", "a directory, or http://"),
        ("CLICKHOUSE", "http://host:99999", "a directory, or http://"),
        ("DATABASE", "1st", "letters, digits and underscores"),
        ("DATABASE", "a;b", "letters, digits and underscores"),
        ("EXCHANGES", "binance,nasdaq", "binance, binance_usdm, kraken, coinbase"),
        ("EXCHANGES", "kraken,kraken", "each once"),
        ("INSTRUMENTS", "nothing.toml", "a readable file"),
        ("BROKERS", "localhost:9092", "nothing yet"),
        ("SCHEMA_REGISTRY", "http://localhost:8081", "nothing yet"),
        ("METRICS_PORT", "9100", "nothing yet"),
        ("KRAKEN_URL", "ws://localhost:1", "nothing yet"),
        ("FEEDS", "sample", "no such setting"),
    ],
)
def test_a_wrong_setting_is_named(name: str, text: str, takes: str) -> None:
    """What it got, where that is no secret, and what it takes."""
    with pytest.raises(SettingsError) as error:
        read(NO_FILE, **{name: text})
    assert f"CANDLEWAX_{name}: " in str(error.value)
    assert takes in str(error.value)


def test_all_wrong_settings_are_named_at_once() -> None:
    """One look is enough to mend them all."""
    with pytest.raises(SettingsError) as error:
        read(DATABASE="?", EXCHANGES="?", COLOUR="red")
    assert len(str(error.value).splitlines()) == 3


def test_an_error_shows_no_password() -> None:
    """Not even of an address that cannot be used."""
    with pytest.raises(SettingsError) as error:
        read(CLICKHOUSE="tcp://user:secret@host:9000")
    assert "secret" not in str(error.value)
