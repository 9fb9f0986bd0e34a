"""Files that are created and never replaced, even by two processes at once."""

import hashlib
import hmac
import os
import urllib.error
import urllib.request
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from pyarrow.fs import FileType

from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.store import Folder
from candlewax.runtime.cold_settings import ColdSettings

TIMEOUT_S: Final = 60

_EXISTS: Final = {HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT}


def create(settings: ColdSettings, folder: Folder, name: str, content: bytes) -> bool:
    """Create a file in a folder of the archive. Return False if it is there already.

    A reader sees all of it or nothing. In S3 the store decides between two writers, if keys are
    set and it knows conditional writes; else a second one may replace the file within the time
    that its writing takes. Raises ArchiveError.
    """
    path = f"{folder.path}/{name}"
    try:
        if folder.filesystem.get_file_info(path).type != FileType.NotFound:
            return False
        if settings.is_local:
            return _create_locally(Path(folder.path), name, content)
        if settings.s3_key:
            created = _put_if_absent(settings, path, content)
            if created is not None:
                return created
        with folder.filesystem.open_output_stream(path) as stream:
            stream.write(content)
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be written: {error}") from error
    return True


def replace(settings: ColdSettings, folder: Folder, name: str, content: bytes) -> None:
    """Write a small file whose content is always the same. Raises ArchiveError."""
    path = f"{folder.path}/{name}"
    try:
        if settings.is_local:
            _write_beside(Path(folder.path), name, content).replace(path)
            return
        with folder.filesystem.open_output_stream(path) as stream:
            stream.write(content)
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be written: {error}") from error


def _create_locally(folder: Path, name: str, content: bytes) -> bool:
    written = _write_beside(folder, name, content)
    try:
        # Unlike a rename, a link does not replace.
        os.link(written, folder / name)
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):
            written.unlink()
    return True


def _write_beside(folder: Path, name: str, content: bytes) -> Path:
    """Write a file of another name, down to the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".{name}.{uuid.uuid4().hex}"
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path


def _put_if_absent(settings: ColdSettings, path: str, content: bytes) -> bool | None:
    """Put an object into S3 unless it exists. Return False if it does; None: the store cannot."""
    url = f"{settings.s3_address}/{quote(path)}"
    headers = {"content-type": "application/octet-stream", "if-none-match": "*"}
    headers |= sign_put(settings, url, headers, content, datetime.now(UTC))
    request = urllib.request.Request(url, content, headers, method="PUT")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
            return True
    except urllib.error.HTTPError as error:
        with error:
            if error.code in _EXISTS:
                return False
            if error.code == HTTPStatus.NOT_IMPLEMENTED:
                return None
            raise


def sign_put(
    settings: ColdSettings, url: str, headers: dict[str, str], content: bytes, now: datetime
) -> dict[str, str]:
    """Return the headers that sign a PUT of S3, Signature Version 4."""
    parts = urlsplit(url)
    digest = hashlib.sha256(content).hexdigest()
    moment, day = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}"
    signed = {
        "host": parts.netloc,
        "x-amz-content-sha256": digest,
        "x-amz-date": moment,
        **headers,
    }
    names = ";".join(sorted(signed))
    lines = [f"{name}:{signed[name]}" for name in sorted(signed)]
    request = "\n".join(["PUT", parts.path, parts.query, *lines, "", names, digest])
    scope = f"{day}/{settings.s3_region}/s3/aws4_request"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(request.encode()).hexdigest()]
    )
    key = f"AWS4{settings.s3_secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{settings.s3_key}/{scope}"
    return {
        "x-amz-content-sha256": digest,
        "x-amz-date": moment,
        "authorization": (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, "
            f"Signature={signature}"
        ),
    }
