"""Seal: a manifest a day that names what the archive holds, chained by hashes and signed.

A unit is sealed once ClickHouse has read it back. It is sealed again when its content or its file
changes: by a late trade, a repaired gap, or compaction. Of the entries of a unit the latest counts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pyarrow.fs import FileType

from candlewax import __version__
from candlewax.cold import create_only, manifest, signature, store
from candlewax.cold.manifest import PUBLIC_KEY, SIGNATURE_SUFFIX, Manifest, ManifestError
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.seal_entries import Places, Sealed, is_sealed, key_of, latest, new_entries
from candlewax.cold.signature import KeyFileError
from candlewax.cold.store import Folder
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import SEALED, VERIFIED, UnitState
from candlewax.cold.units import Measure, Unit


@dataclass(frozen=True)
class NewManifest:
    """A manifest that was made: its file name, and counts of its entries."""

    name: str
    sha256: str
    units: int
    files: int
    is_signed: bool


def make_manifest(
    tier: ColdTier, now: datetime, on_progress: Callable[[str], object] = lambda _: None
) -> NewManifest | None:
    """Seal what is verified and was not sealed before, in the manifest of today.

    Return None if today's manifest is there, by this process or another one. `on_progress` gets
    the path of each file before it is read. Raises ArchiveError; KeyFileError if the key that signs
    cannot be read or is not the one of the folder.
    """
    folder = store.manifests_folder(tier.settings)
    key = _open_key(tier, folder)
    name = manifest.name_of(now.astimezone(UTC).date())
    names = manifest.list_names(*folder)
    if names and names[-1] > name:
        raise ArchiveError(f"{name}: not made, as {names[-1]} is there: is the clock wrong?")
    if name in names:
        _sign(tier, folder, name, key)
        return None
    chain = [_read(folder, one) for one in names]
    states = tier.unit_table.states()
    places = Places(tier)
    entries = new_entries(tier, places, states.values(), latest(chain), on_progress)
    previous = chain[-1] if chain else None
    content = manifest.canonical(
        {
            "format": manifest.FORMAT,
            "date": name.removesuffix(manifest.SUFFIX),
            "made_at": manifest.format_time(now),
            "candlewax": __version__,
            "previous": {"name": previous.name, "sha256": previous.sha256} if previous else None,
            **entries._asdict(),
        }
    )
    if not create_only.create(tier.settings, folder, name, content):
        return None
    _sign(tier, folder, name, key)
    made = manifest.parse(name, content)
    _remember(tier, places, states, latest([*chain, made]))
    return NewManifest(name, made.sha256, len(entries.units), len(entries.files), key is not None)


def sealed_units(tier: ColdTier) -> Callable[[Unit, Measure], bool]:
    """Return a check if the latest entry of a unit has this measure. Raises ArchiveError."""
    folder = store.manifests_folder(tier.settings)
    sealed = latest(_read(folder, name) for name in manifest.list_names(*folder))

    def is_sealed_so(unit: Unit, measure: Measure) -> bool:
        content, rows, _ = sealed.get(key_of(unit), ("", -1, ()))
        return (content, rows) == (measure.content, measure.rows)

    return is_sealed_so


def _open_key(tier: ColdTier, folder: Folder) -> Ed25519PrivateKey | None:
    """Return the key that signs; None if there is none. Put its public key beside the manifests."""
    if tier.settings.seal_key is None:
        return None
    key = signature.load_private_key(tier.settings.seal_key)
    public = signature.public_pem(key)
    present = manifest.read_bytes(folder.filesystem, f"{folder.path}/{PUBLIC_KEY}")
    if present is None:
        create_only.create(tier.settings, folder, PUBLIC_KEY, public)
    elif present != public:
        raise KeyFileError(
            f"{tier.settings.seal_key}: is not the key that signed the manifests so far: "
            f"{folder.path}/{PUBLIC_KEY} is of another one. To go on with a new key, keep that "
            "file under another name"
        )
    return key


def _sign(tier: ColdTier, folder: Folder, name: str, key: Ed25519PrivateKey | None) -> None:
    """Sign a manifest that is there, unless it is signed."""
    path = f"{folder.path}/{name}"
    if key is None:
        return
    if folder.filesystem.get_file_info(path + SIGNATURE_SUFFIX).type == FileType.NotFound:
        # Of two processes only one has made the manifest, so its bytes are read again.
        content = manifest.read_bytes(folder.filesystem, path) or b""
        signed = signature.sign(key, content)
        create_only.replace(tier.settings, folder, name + SIGNATURE_SUFFIX, signed)


def _read(folder: Folder, name: str) -> Manifest:
    path = f"{folder.path}/{name}"
    try:
        return manifest.parse(name, manifest.read_bytes(folder.filesystem, path) or b"")
    except (ManifestError, OSError) as error:
        raise ArchiveError(f"{path}: {error}; without it nobody knows what is sealed") from error


def _remember(
    tier: ColdTier, places: Places, before: Mapping[Unit, UnitState], sealed: Sealed
) -> None:
    """Mark the units that are sealed as they are. Released ones stay so."""
    # Reading files took a while: what another process changed meanwhile is not sealed.
    unchanged = [
        state
        for unit, state in tier.unit_table.states().items()
        if state.state == VERIFIED and before.get(unit) == state
    ]
    done = [state for state in unchanged if is_sealed(places, state, sealed)]
    tier.unit_table.store(state.advance(SEALED) for state in done)
