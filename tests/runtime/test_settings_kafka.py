"""Settings of the broker and its client."""

from pathlib import Path

import pytest

from candlewax.runtime.setting_parsers import OWN_PROPERTIES
from candlewax.runtime.settings import Brokers, SettingsError, load

NO_FILE = Path("no such file")


def read(**settings: str) -> Brokers | None:
    return load({f"CANDLEWAX_{name}": text for name, text in settings.items()}, NO_FILE).brokers


def test_the_broker_as_it_is_named(tmp_path: Path) -> None:
    """Properties of librdkafka by their names; a value may stand in a file."""
    secret = tmp_path / "password"
    secret.write_text("se cret\n")
    found = read(
        BROKERS="a:9092,[::1]:9093",
        RAW_PARTITIONS="3",
        NORMALIZED_PARTITIONS="5",
        SCHEMA_REGISTRY="http://r:8081",
        KAFKA_SASL_PASSWORD_FILE=str(secret),
        KAFKA_SECURITY_PROTOCOL="sasl_ssl",
        KAFKA_SASL_USERNAME="",
    )
    assert found == Brokers(
        "a:9092,[::1]:9093",
        {"sasl.password": "se cret", "security.protocol": "sasl_ssl"},
        3,
        5,
        "http://r:8081",
    )
    assert "cret" not in f"{found} {found!r}"
    assert read(KAFKA_SASL_USERNAME="unused") is None


@pytest.mark.parametrize("name", sorted(OWN_PROPERTIES))
def test_what_exactness_depends_on_is_nobody_elses(name: str) -> None:
    """Nor does the error show what was asked for."""
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
def test_a_wrong_setting_is_named(name: str, text: str, takes: str) -> None:
    """With what it takes."""
    with pytest.raises(SettingsError, match=rf"CANDLEWAX_{name}: .*{takes}"):
        read(**{name: text})
