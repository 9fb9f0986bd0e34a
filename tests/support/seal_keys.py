"""Keys that sign manifests."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from candlewax.cold.tier import ColdTier

SEALED_AT: Final = datetime(2026, 3, 1, 0, 15, tzinfo=UTC)
"""When the first manifest is made: of 1 March 2026."""


def private_pem(
    key: Ed25519PrivateKey | EllipticCurvePrivateKey,
    encryption: KeySerializationEncryption | None = None,
) -> bytes:
    """Return a private key in PEM, PKCS8."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def new_key(folder: Path, name: str = "seal.key") -> tuple[Ed25519PrivateKey, Path]:
    """Make a key. Return it and its file; the public key is beside, with `.pub` behind."""
    key = Ed25519PrivateKey.generate()
    path = folder / name
    path.write_bytes(private_pem(key))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    public_file(path).write_bytes(public)
    return key, path


def public_file(path: Path) -> Path:
    """Return the file with the public key of a key made by new_key."""
    return path.with_name(path.name + ".pub")


def with_key(tier: ColdTier, path: Path) -> ColdTier:
    """Return the tier with a file of the key that signs."""
    return replace(tier, settings=replace(tier.settings, seal_key=path))
