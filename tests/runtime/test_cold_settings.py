"""Settings of the cold tier."""

from pathlib import Path

import pytest

from candlewax.runtime.cold_settings import ColdSettings
from candlewax.runtime.settings import SettingsError, load

S3 = {
    "CANDLEWAX_COLD": "s3://bucket/prefix/",
    "CANDLEWAX_COLD_CATALOG": "postgresql+psycopg2://me:hidden@db/cold",
}


def read(**settings: str) -> ColdSettings | None:
    return load(settings, dotenv=Path("absent")).cold


def refusal(**settings: str) -> str:
    with pytest.raises(SettingsError) as refused:
        read(**settings)
    return str(refused.value)


def test_without_a_place_there_is_no_cold_tier() -> None:
    assert read() is None


def test_directory_has_its_catalog_beside_the_warehouse(tmp_path: Path) -> None:
    settings = read(CANDLEWAX_COLD=str(tmp_path))
    assert settings is not None
    assert settings.catalog == f"sqlite:///{tmp_path}/catalog.db"
    assert settings.warehouse == f"file://{tmp_path}/warehouse"
    assert settings.is_local


def test_bucket_with_keys_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    settings = read(
        **S3,
        CANDLEWAX_COLD_S3_KEY="key",
        CANDLEWAX_COLD_S3_SECRET_FILE=str(tmp_path / "secret"),
        CANDLEWAX_COLD_S3_ENDPOINT="http://127.0.0.1:9000",
    )
    assert settings is not None
    assert settings.warehouse == "s3://bucket/prefix/warehouse"
    assert settings.s3_properties() == {
        "s3.endpoint": "http://127.0.0.1:9000",
        "s3.region": "us-east-1",
        "s3.access-key-id": "key",
        "s3.secret-access-key": "s3cret",
    }


def test_no_secret_is_shown() -> None:
    keys = {"CANDLEWAX_COLD_S3_KEY": "akey", "CANDLEWAX_COLD_S3_SECRET": "s3cret"}
    settings = read(**S3, **keys)
    assert settings is not None
    shown = repr(settings) + settings.shown_catalog
    assert not [secret for secret in ("hidden", "akey", "s3cret") if secret in shown]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"CANDLEWAX_COLD": "s3://"}, "CANDLEWAX_COLD: got an address, takes a directory"),
        ({"CANDLEWAX_COLD": "gs://b/p"}, "CANDLEWAX_COLD: got an address, takes a directory"),
        ({"CANDLEWAX_COLD": "s3://bucket/p"}, "CANDLEWAX_COLD_CATALOG: got nothing, takes sqlite"),
        (
            {"CANDLEWAX_COLD": "cold", "CANDLEWAX_COLD_CATALOG": "mysql://u:hidden@h/d"},
            "CANDLEWAX_COLD_CATALOG: got an address, takes sqlite:///PATH",
        ),
        ({"CANDLEWAX_COLD_S3_KEY": "k"}, "CANDLEWAX_COLD_S3_KEY: needs CANDLEWAX_COLD"),
        (
            {**S3, "CANDLEWAX_COLD_S3_KEY": "k"},
            "CANDLEWAX_COLD_S3_KEY: takes a key together with CANDLEWAX_COLD_S3_SECRET",
        ),
        (
            {**S3, "CANDLEWAX_COLD_S3_SECRET": "two words"},
            "CANDLEWAX_COLD_S3_SECRET: got a value, takes at most 1,000 letters",
        ),
        (
            {**S3, "CANDLEWAX_COLD_S3_REGION": "EU 1"},
            "CANDLEWAX_COLD_S3_REGION: got 'EU 1', takes the name of a region",
        ),
        (
            {"CANDLEWAX_COLD": "cold", "CANDLEWAX_SEAL_KEY_FILE": "absent.pem"},
            "CANDLEWAX_SEAL_KEY_FILE: got 'absent.pem', takes the path of a file",
        ),
        (
            {**S3, "CANDLEWAX_COLD_S3_KEY_FILE": "absent"},
            "CANDLEWAX_COLD_S3_KEY_FILE: takes the path of a readable text file",
        ),
    ],
)
def test_wrong_setting_is_refused(settings: dict[str, str], told: str) -> None:
    message = refusal(**settings)
    assert any(line.startswith(told) for line in message.splitlines()), message
    assert "hidden" not in message


def test_paths_are_absolute_beside_a_cold_tier(tmp_path: Path) -> None:
    """Reaching the archive may change the working directory."""
    settings = load(
        {"CANDLEWAX_COLD": "cold", "CANDLEWAX_CLICKHOUSE": "db"}, dotenv=tmp_path / "absent"
    )
    assert settings.clickhouse == Path("db").absolute()
    assert settings.instruments.is_absolute()
