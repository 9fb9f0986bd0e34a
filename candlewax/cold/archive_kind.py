"""Kind of data of an archive: it holds one kind only, as a database does."""

from typing import Final

from candlewax.cold.create_only import create
from candlewax.cold.manifest import read_bytes
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.store import manifests_folder
from candlewax.cold.tier import ColdTier
from candlewax.core.kind_marks import KIND_TEXTS

_NAME: Final = "data-kind"
"""Name of the file, beside the manifests, that holds the kind."""

_STORED: Final = "SELECT argMin(kind, (since, kind)) AS kind FROM database_kind"


def claim_archive(tier: ColdTier) -> bool:
    """Claim the archive for the kind of data of the database. Return False if that has none yet.

    An archive without a kind takes that of the first database. Raises ArchiveError if the archive
    holds another kind: one day of both would replace each other.
    """
    kind = str(tier.database.query(_STORED).item())
    if not kind:
        return False
    folder = manifests_folder(tier.settings)
    if create(tier.settings, folder, _NAME, kind.encode()):
        return True
    archived = (read_bytes(folder.filesystem, f"{folder.path}/{_NAME}") or b"").decode()
    if archived != kind:
        raise ArchiveError(
            f"CANDLEWAX_COLD: the archive {tier.settings.location} holds "
            f"{KIND_TEXTS.get(archived, archived)}; the database holds {KIND_TEXTS.get(kind, kind)}"
            ", of which nothing is archived there. Set CANDLEWAX_COLD to another place"
        )
    return True
