"""Files that are created and never replaced."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyarrow.fs import LocalFileSystem

from candlewax.cold.create_only import create, replace, sign_put
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.store import Folder
from candlewax.runtime.cold_settings import ColdSettings
from tests.support import cold_tables


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(LocalFileSystem(), str(tmp_path / "manifests"))


@pytest.fixture
def settings(tmp_path: Path) -> ColdSettings:
    return cold_tables.local_settings(tmp_path)


def names(folder: Folder) -> list[str]:
    return [path.name for path in Path(folder.path).iterdir()]


def test_file_that_is_there_is_not_replaced(settings: ColdSettings, folder: Folder) -> None:
    assert create(settings, folder, "a.json", b"first")
    assert not create(settings, folder, "a.json", b"second")
    assert (Path(folder.path) / "a.json").read_bytes() == b"first"
    assert names(folder) == ["a.json"]


def test_one_of_many_writers_at_once_creates_the_file(
    settings: ColdSettings, folder: Folder
) -> None:
    barrier = threading.Barrier(8)

    def write(number: int) -> int | None:
        barrier.wait()
        return number if create(settings, folder, "a.json", str(number).encode()) else None

    with ThreadPoolExecutor(8) as threads:
        winners = [one for one in threads.map(write, range(8)) if one is not None]
    assert len(winners) == 1
    assert (Path(folder.path) / "a.json").read_text("utf-8") == str(winners[0])
    assert names(folder) == ["a.json"]


def test_replaced_file_leaves_no_other(settings: ColdSettings, folder: Folder) -> None:
    for content in (b"one", b"two"):
        replace(settings, folder, "a.sig", content)
    assert (Path(folder.path) / "a.sig").read_bytes() == b"two"
    assert names(folder) == ["a.sig"]


def test_folder_that_cannot_be_written_is_named(settings: ColdSettings, folder: Folder) -> None:
    Path(folder.path).write_bytes(b"a file, not a folder")
    with pytest.raises(ArchiveError, match=r"manifests/a\.json: cannot be written"):
        create(settings, folder, "a.json", b"content")


def test_signed_request_is_that_of_the_documentation_of_s3() -> None:
    """Example of `PUT Object` in Amazon's page on Signature Version 4 in the header."""
    settings = ColdSettings(
        "s3://examplebucket", "", s3_region="us-east-1", s3_key="AKIAIOSFODNN7EXAMPLE",
        s3_secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",  # noqa: S106 - of that page
    )  # fmt: skip
    headers = sign_put(
        settings,
        "https://examplebucket.s3.amazonaws.com/test%24file.text",
        {
            "date": "Fri, 24 May 2013 00:00:00 GMT",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
        },
        b"Welcome to Amazon S3.",
        datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 "
        "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, "
        "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    )
