"""Settings: what they take, and what they say when they are wrong."""

from pathlib import Path

import pytest

from candlewax.data import SAMPLE
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import Settings, SettingsError, load

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are those of the repository."""
    monkeypatch.chdir(ROOT)


NO_FILE = Path("no such file")


def read(dotenv: Path = NO_FILE, **settings: str) -> Settings:
    return load({f"CANDLEWAX_{name}": text for name, text in settings.items()}, dotenv)


def test_defaults_need_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample into a directory here."""
    monkeypatch.chdir(tmp_path)
    found = read()
    assert found == Settings(
        "sample",
        Path("data/sample"),
        "market",
        None,
        Path("instruments.toml"),
        is_placed=False,
    )
    assert found.frame_logs == (SAMPLE,)


def test_an_empty_text_counts_as_unset() -> None:
    """As shells and compose files leave it."""
    assert read(FEED="", DATABASE=" ") == read()


def test_a_feed_may_be_several_logs(tmp_path: Path) -> None:
    """Comma-separated, spaces between do not matter."""
    logs = [tmp_path / "a.tsv", tmp_path / "b.tsv.gz"]
    for path in logs:
        path.touch()
    assert read(FEED=f"{logs[0]}, {logs[1]}").frame_logs == tuple(logs)


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
        ("FEED", "missing.tsv", "'missing.tsv' is none"),
        ("FEED", "tests", "readable files"),
        ("FEED", "a" * 5000, "readable files"),
        ("FEED", "a.tsv,,b.tsv", "without empty items"),
        ("CLICKHOUSE", "tcp://host:9000", "a directory, or http://"),
        ("CLICKHOUSE", "http://", "a directory, or http://"),
        ("CLICKHOUSE", "http://host:99999", "a directory, or http://"),
        ("CLICKHOUSE", "http://host:0", "a directory, or http://"),
        ("CLICKHOUSE", "http://[::1", "a directory, or http://"),
        ("CLICKHOUSE", "http://a host", "a directory, or http://"),
        ("CLICKHOUSE", "http:/host:8123", "a directory, or http://"),
        ("DATABASE", "1st", "letters, digits and underscores"),
        ("DATABASE", "a;b", "letters, digits and underscores"),
        ("DATABASE", "a" * 65, "letters, digits and underscores"),
        ("EXCHANGES", "binance,nasdaq", "binance, binance_usdm, kraken, coinbase"),
        ("EXCHANGES", "kraken,kraken", "each once"),
        ("BROKERS", "localhost", "host:port"),
        ("BROKERS", "localhost:9092,", "without empty items"),
        ("BROKERS", "localhost:0", "host:port"),
        ("SCHEMA_REGISTRY", "localhost:8081", "an address, as http://"),
        ("METRICS_PORT", "0", "a port from 1 to 65535"),
        ("METRICS_PORT", "http", "a port from 1 to 65535"),
        ("METRICS_ADDRESS", "localhost", "an IP address"),
        ("FRESH_SECONDS", "0", "above 0, as 60 or 2.5"),
        ("FRESH_SECONDS", "-1", "above 0, as 60 or 2.5"),
        ("WATCH_SECONDS", "a minute", "above 0, as 60 or 2.5"),
        ("LINGER_SECONDS", "0", "above 0, at most 10, as 0.2"),
        ("LINGER_SECONDS", "10.5", "above 0, at most 10, as 0.2"),
        ("RAW_PARTITIONS", "0", "from 1 to 1024"),
        ("NORMALIZED_PARTITIONS", "many", "from 1 to 1024"),
        ("KRAKEN_URL", "http://localhost:1", "wss://host/path"),
        ("KRAKEN_URL", "ws://", "wss://host/path"),
        ("KAFKA_ACKS", "1", "exactness depends on it"),
        ("KAFKA_SASL_PASSWORD_FILE", "missing", "a readable text file"),
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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CLICKHOUSE", "tcp://user:secret@host:9000"),
        ("CLICKHOUSE", "http:/user:secret@host:8123"),
        ("CLICKHOUSE", "user:secret@host:8123"),
        ("CLICKHOUSE", "http://user:sec/ret@host"),
        ("CLICKHOUSE", "http://user:12/sec@host:8123"),
        ("CLICKHOUSE", "http://user:12#sec@host:8123"),
        ("CLICKHOUSE", "http://user:12?sec@host:8123"),
        ("CLICKHOUSE", "http://host:8123?password=secret"),
        ("CLICKHOUSE", "http://host:8123/?user=me&password=secret&verify=false"),
        ("CLICKHOUSE", "http://host:8123/?PASSWORD=secret"),
        ("CLICKHOUSE", "http://host:8123/?access_token=secret"),
        ("CLICKHOUSE", "http://host:8123/?verify=false&secret"),
        ("FEED", "http://user:secret@host"),
        ("FEED", "a.tsv,http://user:secret@host"),
        ("BROKERS", "sasl://user:secret@host:9092"),
        ("SCHEMA_REGISTRY", "user:secret@host"),
        ("KRAKEN_URL", "https://user:secret@host"),
        ("KAFKA_GROUP_ID", "secret"),
        ("CLICKHOUSE_PASSWORD", "secret"),
    ],
)
def test_an_error_shows_no_password(name: str, text: str) -> None:
    """Not even of an address that cannot be used, or stands in the wrong place."""
    with pytest.raises(SettingsError) as error:
        read(NO_FILE, **{name: text})
    assert "sec" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://host:8123?password=x", "user and password stand before the host"),
        ("http://host:8123?max_threads=1", "no parameters behind ?"),
        ("http://host:8123/market", "CANDLEWAX_DATABASE names the database"),
        ("http://host:8123/#x", "%23"),
    ],
)
def test_what_stands_behind_a_server_is_refused_with_what_to_write(text: str, says: str) -> None:
    """It would be taken for a setting of the client, or for nothing."""
    with pytest.raises(SettingsError) as error:
        read(CLICKHOUSE=text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "/", "?verify=false", "/?ca_cert=/etc/ca.pem&verify=true"])
def test_a_server_may_say_how_its_certificate_is_checked(text: str) -> None:
    """No other parameter is taken."""
    assert str(read(CLICKHOUSE=f"https://me:it@host:8443{text}").clickhouse) == "https://host:8443"


@pytest.mark.parametrize("text", ["/srv/me@home:1", "./a:b@c", "data", "me@home"])
def test_a_directory_may_have_any_name(text: str) -> None:
    """Only what is meant as an address is read as one."""
    assert read(CLICKHOUSE=text).clickhouse == Path(text)


def test_an_address_by_number_is_shown_whole() -> None:
    """Brackets keep it apart from the port."""
    assert str(read(CLICKHOUSE="http://[::1]:8123").clickhouse) == "http://[::1]:8123"


def test_a_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """It would be left out in silence; its text may be a password and is not shown."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("OTHER=x\nCANDLEWAX_CLICKHOUSE='http://user:secret@host\n")
    with pytest.raises(SettingsError) as error:
        read(dotenv)
    assert str(error.value).startswith(f"CANDLEWAX_CLICKHOUSE: line 2 of {dotenv} ")
    assert "secret" not in str(error.value)


def test_lines_of_others_do_not_matter(tmp_path: Path) -> None:
    """The file may serve several programs."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("OTHER='x\nCANDLEWAX_DATABASE=${HOME\n")
    with pytest.raises(SettingsError, match=r"got '\$\{HOME', takes a name"):
        read(dotenv)
    dotenv.write_text("OTHER='x\nexport CANDLEWAX_DATABASE=mine # ours\n")
    assert read(dotenv).database == "mine"


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    """Whatever was saved in another encoding."""
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(b"CANDLEWAX_DATABASE=\xff\n")
    with pytest.raises(SettingsError, match="not UTF-8 text"):
        read(dotenv)


def test_a_live_feed_reads_no_log() -> None:
    """Nor does it touch the sample."""
    chosen = read(FEED="live", KRAKEN_URL="ws://127.0.0.1:1/v2")
    assert chosen.is_live
    assert chosen.frame_logs == ()
    assert chosen.urls == {"kraken": "ws://127.0.0.1:1/v2"}


def test_properties_of_the_broker_are_passed_on(tmp_path: Path) -> None:
    """Secrets may stand in files; none is ever shown."""
    secret = tmp_path / "password"
    secret.write_text("secret\n")
    chosen = read(
        BROKERS="[::1]:9092,kafka-2:9092",
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_PASSWORD_FILE=str(secret),
        RAW_PARTITIONS="3",
    )
    assert chosen.brokers is not None
    assert chosen.brokers.properties == {
        "security.protocol": "SASL_SSL",
        "sasl.password": "secret",
    }
    assert chosen.brokers.raw_partitions == 3
    assert "secret" not in repr(chosen)


def test_settings_of_the_tests_are_passed_over() -> None:
    """They may stand in the same environment."""
    assert read(TEST_BROKERS="127.0.0.1:9092").brokers is None


def test_rest_has_addresses_and_keys_of_its_own(tmp_path: Path) -> None:
    """Keys also from files, and never shown."""
    file = tmp_path / "key"
    file.write_text("from-a-file\n")
    found = read(
        KRAKEN_REST_URL="http://127.0.0.1:8765/kraken",
        BINANCE_KEY="a-secret-key",
        BINANCE_USDM_KEY_FILE=str(file),
    )
    assert found.rest_urls == {"kraken": "http://127.0.0.1:8765/kraken"}
    assert found.keys == {"binance": "a-secret-key", "binance_usdm": "from-a-file"}
    assert "a-secret-key" not in f"{found} {found!r}"


@pytest.mark.parametrize(
    ("settings", "takes"),
    [
        ({"KRAKEN_REST_URL": "ws://host"}, "an address, as https://host/path"),
        ({"KRAKEN_REST_URL": "https://user:secret@host"}, "without user, query or spaces"),
        ({"KRAKEN_REST_URL": "https://host/x?y=1"}, "without user, query or spaces"),
        ({"BINANCE_KEY": "a secret key"}, "no spaces"),
        ({"BINANCE_KEY": "secret\u00fc"}, "takes a key"),
        ({"BINANCE_KEY_FILE": "secret"}, "takes the path of a readable text file"),
        ({"BINANCE_KEY": "secret", "BINANCE_KEY_FILE": __file__}, "one is enough"),
        ({"NASDAQ_KEY": "secret"}, "no such setting"),
    ],
)
def test_what_rest_does_not_take(settings: dict[str, str], takes: str) -> None:
    """The message names the setting and what it takes, and keeps the secret."""
    with pytest.raises(SettingsError) as refused:
        read(NO_FILE, **settings)
    assert takes in str(refused.value)
    assert f"CANDLEWAX_{next(iter(settings))}"[:18] in str(refused.value)
    assert "secret" not in str(refused.value)
