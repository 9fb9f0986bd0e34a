"""Settings of the broker and its client."""

from pathlib import Path

import pytest

from candlewax.runtime.setting_parsers import OWN_PROPERTIES
from candlewax.runtime.settings import Brokers, SettingsError, load

NO_FILE = Path("no such file")


def read(**settings: str) -> Brokers | None:
    return load({f"CANDLEWAX_{name}": text for name, text in settings.items()}, NO_FILE).brokers


def test_settings_of_the_broker_are_read(tmp_path: Path) -> None:
    """With properties of librdkafka, and values from files, which are not shown."""
    secret = tmp_path / "password"
    secret.write_text("se cret\n")
    brokers = read(
        BROKERS="a:9092,[::1]:9093",
        RAW_PARTITIONS="3",
        NORMALIZED_PARTITIONS="5",
        SCHEMA_REGISTRY="http://r:8081",
        KAFKA_SASL_PASSWORD_FILE=str(secret),
        KAFKA_SECURITY_PROTOCOL="sasl_ssl",
        KAFKA_SASL_USERNAME="",
    )
    assert brokers == Brokers(
        "a:9092,[::1]:9093",
        {"sasl.password": "se cret", "security.protocol": "sasl_ssl"},
        3,
        5,
        "http://r:8081",
    )
    assert "cret" not in f"{brokers} {brokers!r}"
    assert read(KAFKA_SASL_USERNAME="unused") is None


@pytest.mark.parametrize("name", sorted(OWN_PROPERTIES))
def test_property_that_exactness_depends_on_is_refused(name: str) -> None:
    """The message does not show the value."""
    setting = f"KAFKA_{name.upper().replace('.', '_')}"
    with pytest.raises(SettingsError, match=f"CANDLEWAX_{setting}: .* exactness") as error:
        read(BROKERS="a:1", **{setting: "secret"})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "takes"),
    [
        ("BROKERS", "localhost", "host:port"),
        ("BROKERS", "a:1,,b:2", "empty items"),
        ("BROKERS", "a:65536", "host:port"),
        ("RAW_PARTITIONS", "0", "from 1 to 1024"),
        ("NORMALIZED_PARTITIONS", "many", "from 1 to 1024"),
        ("SCHEMA_REGISTRY", "ftp://r", "an address"),
        ("KAFKA_SASL_PASSWORD_FILE", "/no such file", "readable text file"),
    ],
)
def test_invalid_setting_is_refused_with_what_it_takes(name: str, text: str, takes: str) -> None:
    """The message names the setting."""
    with pytest.raises(SettingsError, match=rf"CANDLEWAX_{name}: .*{takes}"):
        read(**{name: text})
