"""Settings of the cold tier: where the archive is, its catalog, and the keys of its store."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from candlewax.runtime.setting_parsers import FILE, parse_registry_url, quote_setting

CATALOGS: Final = (
    "sqlite:///PATH, postgresql+psycopg2://user:password@host/database, or http://host:port"
)

_SECRETS: Final = ("COLD_S3_KEY", "COLD_S3_SECRET", "COLD_CATALOG_CREDENTIAL")
"""Settings whose values are secret. With FILE at the end they name a file."""

NAMES: Final = frozenset(
    {
        "COLD", "COLD_CATALOG", f"COLD_CATALOG{FILE}", "COLD_S3_ENDPOINT", "COLD_S3_REGION",
        f"SEAL_KEY{FILE}", *_SECRETS, *(name + FILE for name in _SECRETS),
    }
)  # fmt: skip
"""All settings of the cold tier."""


@dataclass(frozen=True)
class ColdSettings:
    """Place of the archive and how to reach it.

    `location` is a directory, or `s3://bucket/prefix`. `catalog` is an address of SQLAlchemy or of
    a REST catalog, and may hold a password: `shown_catalog` does not. `seal_key` is the file of the
    private key that signs manifests.
    """

    location: str
    catalog: str = field(repr=False)
    s3_endpoint: str = ""
    s3_region: str = "us-east-1"
    s3_key: str = field(default="", repr=False)
    s3_secret: str = field(default="", repr=False)
    catalog_credential: str = field(default="", repr=False)
    seal_key: Path | None = None

    @property
    def is_local(self) -> bool:
        """True if the archive is a directory."""
        return not self.location.startswith("s3://")

    @property
    def warehouse(self) -> str:
        """Address of the folder with the tables."""
        return (
            f"file://{self.location}/warehouse" if self.is_local else f"{self.location}/warehouse"
        )

    @property
    def manifests(self) -> str:
        """Address of the folder with the manifests."""
        return (
            f"file://{self.location}/manifests" if self.is_local else f"{self.location}/manifests"
        )

    @property
    def s3_address(self) -> str:
        """Address of the object store; Amazon's by default."""
        return self.s3_endpoint.rstrip("/") or f"https://s3.{self.s3_region}.amazonaws.com"

    @property
    def shown_catalog(self) -> str:
        """Address of the catalog without user and password."""
        return re.sub(r"//[^/]*@", "//", self.catalog)

    def s3_properties(self) -> dict[str, str]:
        """Return the properties by which PyIceberg reaches the store; none for a directory."""
        if self.is_local:
            return {}
        properties = {
            "s3.endpoint": self.s3_endpoint,
            "s3.region": self.s3_region,
            "s3.access-key-id": self.s3_key,
            "s3.secret-access-key": self.s3_secret,
        }
        return {name: value for name, value in properties.items() if value}

    def rest_properties(self) -> dict[str, str]:
        """Return the properties by which PyIceberg signs in at a REST catalog."""
        if not self.catalog_credential:
            return {}
        tokens = f"{self.catalog.rstrip('/')}/v1/oauth/tokens"
        return {"credential": self.catalog_credential, "oauth2-server-uri": tokens}


def reach_archive(settings: ColdSettings) -> None:
    """Make the archive readable for the embedded engine of this process.

    The engine reads Iceberg tables in directories only below the working directory, so this may
    change it to one above both. Paths in settings are absolute while there is a cold tier. The keys
    of an object store go into the environment, where the engine looks for them: in a statement they
    would be stored with each view.
    """
    keys = {"AWS_ACCESS_KEY_ID": settings.s3_key, "AWS_SECRET_ACCESS_KEY": settings.s3_secret}
    os.environ.update({name: value for name, value in keys.items() if value})
    if settings.is_local and not Path(settings.location).is_relative_to(Path.cwd()):
        os.chdir(os.path.commonpath([settings.location, Path.cwd()]))


def read_cold_settings(texts: Mapping[str, str], errors: list[str]) -> ColdSettings | None:
    """Return the settings of the cold tier; None if it is off. Add a line to `errors` for each
    wrong one, without secrets.
    """
    values: dict[str, str] = {}
    for name in sorted(NAMES - {f"SEAL_KEY{FILE}"}):
        text = texts.get(name, "")
        if not text:
            continue
        value_name = name.removesuffix(FILE)
        if value_name in values:
            errors.append(f"CANDLEWAX_{name}: stands beside CANDLEWAX_{value_name}; one is enough")
        try:
            values[value_name] = _read_file(text) if name.endswith(FILE) else text
        except ValueError as error:
            errors.append(f"CANDLEWAX_{name}: {error}")
    for name, parse in _PARSERS.items():
        try:
            values[name] = parse(values[name]) if name in values else ""
        except ValueError as error:
            shown = "a value" if name in _SECRETS else quote_setting(values[name])
            errors.append(f"CANDLEWAX_{name}: got {shown}, takes {error}")
    seal_key = texts.get(f"SEAL_KEY{FILE}", "")
    if seal_key and not Path(seal_key).is_file():
        errors.append(f"CANDLEWAX_SEAL_KEY{FILE}: got {seal_key!r}, takes the path of a file")
    location = values["COLD"]
    if not location:
        errors += [
            f"CANDLEWAX_{name}: needs CANDLEWAX_COLD, which says where the archive is"
            for name in sorted(NAMES)
            if texts.get(name)
        ]
        return None
    catalog = values["COLD_CATALOG"] or _default_catalog(location, errors)
    if bool(values["COLD_S3_KEY"]) != bool(values["COLD_S3_SECRET"]):
        errors.append("CANDLEWAX_COLD_S3_KEY: takes a key together with CANDLEWAX_COLD_S3_SECRET")
    return ColdSettings(
        location,
        catalog,
        values["COLD_S3_ENDPOINT"],
        values["COLD_S3_REGION"] or "us-east-1",
        values["COLD_S3_KEY"],
        values["COLD_S3_SECRET"],
        values["COLD_CATALOG_CREDENTIAL"],
        Path(seal_key).absolute() if seal_key else None,
    )


def _default_catalog(location: str, errors: list[str]) -> str:
    if location.startswith("s3://"):
        errors.append(
            f"CANDLEWAX_COLD_CATALOG: got nothing, takes {CATALOGS}: an archive in S3 needs one"
        )
    return f"sqlite:///{location}/catalog.db"


def _read_file(path: str) -> str:
    try:
        return Path(path).read_text("utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError):
        raise ValueError("takes the path of a readable text file") from None


def _parse_location(text: str) -> str:
    if text.startswith("s3://"):
        parts = urlsplit(text)
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", parts.netloc) or "?" in text:
            raise ValueError("a directory, or s3://bucket/prefix")
        return text.rstrip("/")
    if "://" in text:
        raise ValueError("a directory, or s3://bucket/prefix")
    return str(Path(text).absolute())


def _parse_catalog(text: str) -> str:
    if not re.match(r"sqlite:///.|postgresql\+psycopg2://.|https?://.", text):
        raise ValueError(CATALOGS)
    return text


def _parse_secret(text: str) -> str:
    if not re.fullmatch(r"[!-~]{1,1000}", text):
        raise ValueError("at most 1,000 letters, digits and signs, no spaces")
    return text


def _parse_region(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,40}", text):
        raise ValueError("the name of a region, as eu-central-1")
    return text


_PARSERS: Final[Mapping[str, Callable[[str], str]]] = {
    "COLD": _parse_location,
    "COLD_CATALOG": _parse_catalog,
    "COLD_S3_ENDPOINT": parse_registry_url,
    "COLD_S3_REGION": _parse_region,
    **dict.fromkeys(_SECRETS, _parse_secret),
}
