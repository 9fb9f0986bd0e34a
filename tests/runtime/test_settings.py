"""Settings: accepted values, and messages about invalid ones."""

from pathlib import Path

import pytest

from candlewax.data import INSTRUMENTS, SAMPLE
from candlewax.exchanges import EXCHANGES
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import Settings, SettingsError, load

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in the root of the repository."""
    monkeypatch.chdir(ROOT)


NO_FILE = Path("no such file")


def read(dotenv: Path = NO_FILE, **settings: str) -> Settings:
    return load({f"CANDLEWAX_{name}": text for name, text in settings.items()}, dotenv)


def test_defaults_need_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is stored in a directory below the current one."""
    monkeypatch.chdir(tmp_path)
    loaded = read()
    assert loaded == Settings(
        "sample",
        Path("data/sample"),
        "market",
        None,
        INSTRUMENTS,
        is_placed=False,
    )
    assert loaded.frame_logs == (SAMPLE,)


def test_empty_text_counts_as_unset() -> None:
    """Shells and compose files leave such texts."""
    assert read(FEED="", DATABASE=" ") == read()


def test_feed_can_be_several_logs(tmp_path: Path) -> None:
    """Separated by commas, with or without spaces."""
    logs = [tmp_path / "a.tsv", tmp_path / "b.tsv.gz"]
    for path in logs:
        path.touch()
    assert read(FEED=f"{logs[0]}, {logs[1]}").frame_logs == tuple(logs)


def test_password_of_a_server_is_not_shown() -> None:
    """Only the client receives it."""
    loaded = read(CLICKHOUSE="https://user:secret@host:8443")
    assert isinstance(loaded.clickhouse, Server)
    assert loaded.clickhouse.dsn == "https://user:secret@host:8443"
    assert "secret" not in f"{loaded} {loaded!r} {loaded.clickhouse}"
    assert str(loaded.clickhouse) == "https://host:8443"


def test_environment_overrides_the_file(tmp_path: Path) -> None:
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
        ("RECONCILE", "yes", "on or off"),
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
        ("EXCHANGES", "binance,nasdaq", ", ".join(EXCHANGES)),
        ("EXCHANGES", "kraken,kraken", "each once"),
        ("EXCHANGES", "kraken,kraken/0", "or shards, as binance/0"),
        ("EXCHANGES", "kraken/x", "or shards, as binance/0"),
        ("EXCHANGES", "kraken/1", "takes shards below 1, the number in CANDLEWAX_SHARDS"),
        ("SHARDS", "binance", "1 to 64 shards, as binance=4"),
        ("SHARDS", "binance=0", "1 to 64 shards"),
        ("SHARDS", "binance=65", "1 to 64 shards"),
        ("SHARDS", "nasdaq=2", "1 to 64 shards"),
        ("SHARDS", "binance=2,binance=3", "each once"),
        ("BROKERS", "localhost", "host:port"),
        ("BROKERS", "localhost:9092,", "without empty items"),
        ("BROKERS", "localhost:0", "host:port"),
        ("SCHEMA_REGISTRY", "localhost:8081", "names a host, as http://"),
        ("METRICS_PORT", "0", "a port from 1 to 65535"),
        ("METRICS_PORT", "http", "a port from 1 to 65535"),
        ("METRICS_ADDRESS", "localhost", "an IP address"),
        ("FRESH_SECONDS", "0", "above 0, as 60 or 2.5"),
        ("FRESH_SECONDS", "-1", "above 0, as 60 or 2.5"),
        ("WATCH_SECONDS", "a minute", "above 0, as 60 or 2.5"),
        ("LINGER_SECONDS", "0", "above 0, at most 10, as 0.2"),
        ("FILL", "8d", "whole hours or days from 1h to 7d, as 24h or 2d"),
        ("LINGER_SECONDS", "10.5", "above 0, at most 10, as 0.2"),
        ("RAW_PARTITIONS", "0", "from 1 to 1024"),
        ("NORMALIZED_PARTITIONS", "many", "from 1 to 1024"),
        ("KRAKEN_URL", "http://localhost:1", "begins with ws:// or wss:// and names a host"),
        ("KRAKEN_URL", "ws://", "wss://host/path"),
        ("KAFKA_ACKS", "1", "exactness depends on it"),
        ("KAFKA_SASL_PASSWORD_FILE", "missing", "a readable text file"),
        ("FEEDS", "sample", "no such setting; similar names are CANDLEWAX_FEED"),
        ("BINANSE_URL", "ws://a", "no such setting; similar names are CANDLEWAX_BINANCE_URL, "),
        ("COLOUR", "red", "CANDLEWAX_<EXCHANGE>_REST_URL, CANDLEWAX_<EXCHANGE>_FILES_URL"),
        ("COLOUR", "red", "an <EXCHANGE> is one of BINANCE, BINANCE_USDM, "),
        ("KRAKEN_FILES_URL", "http://a", "no such setting; similar names are "),
    ],
)
def test_invalid_setting_is_refused_with_what_it_takes(name: str, text: str, takes: str) -> None:
    """The message names the setting."""
    with pytest.raises(SettingsError) as error:
        read(NO_FILE, **{name: text})
    assert f"CANDLEWAX_{name}: " in str(error.value)
    assert takes in str(error.value)


def test_all_invalid_settings_are_named_at_once() -> None:
    """One line for each."""
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
def test_message_about_a_setting_shows_no_password(name: str, text: str) -> None:
    """Not even of an invalid address, or in another setting."""
    with pytest.raises(SettingsError) as error:
        read(NO_FILE, **{name: text})
    assert "sec" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("http://host:8123?password=x", "user and password stand before the host"),
        ("http://host:8123?max_threads=1", "no parameters behind ?"),
        ("http://host:8123/market", "CANDLEWAX_DATABASE names the database"),
        ("http://host:8123/#x", "%23"),
    ],
)
def test_parameter_or_path_after_a_server_is_refused_with_advice(text: str, advice: str) -> None:
    """The client would take it for a setting, or ignore it."""
    with pytest.raises(SettingsError) as error:
        read(CLICKHOUSE=text)
    assert advice in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "/", "?verify=false", "/?ca_cert=/etc/ca.pem&verify=true"])
def test_address_of_a_server_accepts_parameters_of_its_certificate(text: str) -> None:
    """They are not shown."""
    assert str(read(CLICKHOUSE=f"https://me:it@host:8443{text}").clickhouse) == "https://host:8443"


@pytest.mark.parametrize("text", ["/srv/me@home:1", "./a:b@c", "data", "me@home"])
def test_directory_can_have_any_name(text: str) -> None:
    """Only a text with the scheme of an address is read as one."""
    assert read(CLICKHOUSE=text).clickhouse == Path(text)


def test_ipv6_address_is_shown_in_brackets() -> None:
    """They separate it from the port."""
    assert str(read(CLICKHOUSE="http://[::1]:8123").clickhouse) == "http://[::1]:8123"


def test_unreadable_line_of_the_file_is_named(tmp_path: Path) -> None:
    """By setting and number; its text may be a password and is not shown."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("OTHER=x\nCANDLEWAX_CLICKHOUSE='http://user:secret@host\n")
    with pytest.raises(SettingsError) as error:
        read(dotenv)
    assert str(error.value).startswith(f"CANDLEWAX_CLICKHOUSE: line 2 of {dotenv} ")
    assert "secret" not in str(error.value)


def test_lines_of_other_programs_are_ignored(tmp_path: Path) -> None:
    """The file may be shared, and its lines may be unreadable."""
    dotenv = tmp_path / ".env"
    dotenv.write_text("OTHER='x\nCANDLEWAX_DATABASE=${HOME\n")
    with pytest.raises(SettingsError, match=r"got '\$\{HOME', takes a name"):
        read(dotenv)
    dotenv.write_text("OTHER='x\nexport CANDLEWAX_DATABASE=mine # ours\n")
    assert read(dotenv).database == "mine"


def test_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_bytes(b"CANDLEWAX_DATABASE=\xff\n")
    with pytest.raises(SettingsError, match="not UTF-8 text"):
        read(dotenv)


def test_live_feed_reads_no_log() -> None:
    """Not even the sample."""
    loaded = read(FEED="live", KRAKEN_URL="ws://127.0.0.1:1/v2")
    assert loaded.is_live
    assert loaded.frame_logs == ()
    assert loaded.urls == {"kraken": "ws://127.0.0.1:1/v2"}


def test_properties_of_the_broker_are_passed_on(tmp_path: Path) -> None:
    """Secrets may be read from files, and are not shown."""
    secret = tmp_path / "password"
    secret.write_text("secret\n")
    loaded = read(
        BROKERS="[::1]:9092,kafka-2:9092",
        KAFKA_SECURITY_PROTOCOL="SASL_SSL",
        KAFKA_SASL_PASSWORD_FILE=str(secret),
        RAW_PARTITIONS="3",
    )
    assert loaded.brokers is not None
    assert loaded.brokers.properties == {
        "security.protocol": "SASL_SSL",
        "sasl.password": "secret",
    }
    assert loaded.brokers.raw_partitions == 3
    assert "secret" not in repr(loaded)


def test_settings_of_the_tests_are_ignored() -> None:
    """They may be set in the same environment."""
    assert read(TEST_BROKERS="127.0.0.1:9092").brokers is None


def test_rest_has_its_own_addresses_and_keys(tmp_path: Path) -> None:
    """Keys may be read from files, and are not shown."""
    file = tmp_path / "key"
    file.write_text("from-a-file\n")
    loaded = read(
        KRAKEN_REST_URL="http://127.0.0.1:8765/kraken",
        BINANCE_KEY="a-secret-key",
        BINANCE_USDM_KEY_FILE=str(file),
    )
    assert loaded.rest_urls == {"kraken": "http://127.0.0.1:8765/kraken"}
    assert loaded.keys == {"binance": "a-secret-key", "binance_usdm": "from-a-file"}
    assert "a-secret-key" not in f"{loaded} {loaded!r}"


@pytest.mark.parametrize(
    ("settings", "takes"),
    [
        ({"KRAKEN_REST_URL": "ws://host"}, "begins with http:// or https:// and names a host"),
        ({"KRAKEN_REST_URL": "https://user:secret@host"}, "without user, query or spaces"),
        ({"KRAKEN_REST_URL": "https://host/x?y=1"}, "without user, query or spaces"),
        ({"BINANCE_KEY": "a secret key"}, "no spaces"),
        ({"BINANCE_KEY": "secret\u00fc"}, "takes a key"),
        ({"BINANCE_KEY_FILE": "secret"}, "takes the path of a readable text file"),
        ({"BINANCE_KEY": "secret", "BINANCE_KEY_FILE": __file__}, "one is enough"),
        ({"NASDAQ_KEY": "secret"}, "no such setting"),
    ],
)
def test_invalid_setting_of_rest_is_refused(settings: dict[str, str], takes: str) -> None:
    """The message names the setting and what it takes, without the secret."""
    with pytest.raises(SettingsError) as refused:
        read(NO_FILE, **settings)
    assert takes in str(refused.value)
    assert f"CANDLEWAX_{next(iter(settings))}"[:18] in str(refused.value)
    assert "secret" not in str(refused.value)
