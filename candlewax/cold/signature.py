"""Ed25519 signatures of manifests.

A signature is detached: base64 of the 64 bytes that sign the bytes of the manifest's file.
"""

import base64
import binascii
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)


class KeyFileError(RuntimeError):
    """A key file that cannot be used; the message names it and what is needed."""


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read the key that signs. Raises KeyFileError."""
    needed = (
        f"{path}: takes an Ed25519 private key in PEM without a password, as "
        "`openssl genpkey -algorithm ed25519` makes it"
    )
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(needed) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(needed)
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Read the key that proves signatures. Raises KeyFileError."""
    needed = f"{path}: takes an Ed25519 public key in PEM, as seal.pub beside the manifests"
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(needed) from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(needed)
    return key


def public_pem(key: Ed25519PrivateKey) -> bytes:
    """Return the public key of a private one, in PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def sign(key: Ed25519PrivateKey, content: bytes) -> bytes:
    """Return the signature of a file as its signature file holds it."""
    return base64.b64encode(key.sign(content)) + b"\n"


def is_valid(key: Ed25519PublicKey, content: bytes, signature: bytes) -> bool:
    """Return True if the signature file signs the content."""
    try:
        key.verify(base64.b64decode(signature.strip(), validate=True), content)
    except (InvalidSignature, binascii.Error):
        return False
    return True
