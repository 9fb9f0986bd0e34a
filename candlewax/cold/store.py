"""Filesystem of the archive: a local directory, or a bucket of S3."""

from typing import NamedTuple

from pyarrow.fs import FileSystem
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFileIO

from candlewax.cold.parquet_files import ArchiveError
from candlewax.runtime.cold_settings import ColdSettings


class Folder(NamedTuple):
    """A folder: its filesystem, and its path there."""

    filesystem: FileSystem
    path: str


def path_of(location: str) -> str:
    """Return the path in its filesystem of a location, such as `file:///a/b` or `s3://bucket/a`."""
    return PyArrowFileIO.parse_location(location)[2]


def folder_of(io: FileIO, location: str) -> Folder:
    """Return the folder at a location. Raises ArchiveError if its files cannot be listed."""
    if not isinstance(io, PyArrowFileIO):
        raise ArchiveError(f"{location}: is reached by {type(io).__name__}, which lists no files")
    scheme, netloc, path = PyArrowFileIO.parse_location(location)
    return Folder(io.fs_by_scheme(scheme, netloc), path)


def manifests_folder(settings: ColdSettings) -> Folder:
    """Return the folder of the manifests."""
    return folder_of(PyArrowFileIO(settings.s3_properties()), settings.manifests)


def warehouse_folder(settings: ColdSettings) -> Folder:
    """Return the folder of the tables."""
    return folder_of(PyArrowFileIO(settings.s3_properties()), settings.warehouse)
