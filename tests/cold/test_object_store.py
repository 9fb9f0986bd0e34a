"""Maintenance and seal of an archive in an object store."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from candlewax.clickhouse.client import Database
from candlewax.cold import store
from candlewax.cold.create_only import create
from candlewax.cold.layers import LAYERS
from candlewax.cold.maintenance.expire import expire
from candlewax.cold.maintenance.maintain import maintain
from candlewax.cold.maintenance.orphans import find_orphans, list_files
from candlewax.cold.manifest_check import CHANGED_FILE, CheckResult, check
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.seal import make_manifest
from candlewax.cold.tier import ColdTier, open_tier
from candlewax.runtime.cold_settings import ColdSettings
from tests.support import seal_keys
from tests.support.cold.object_store import ObjectStore
from tests.support.cold_tables import due_units, files, offload
from tests.support.seal_keys import SEALED_AT

pytestmark = pytest.mark.slow("an object store", seconds=15)

SILVER = LAYERS["silver.trades"]
LATER = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def settings(object_store: ObjectStore, tmp_path: Path) -> ColdSettings:
    return ColdSettings(
        f"s3://{object_store.bucket}/{uuid4().hex}",
        f"sqlite:///{tmp_path}/catalog.db",
        object_store.endpoint,
        object_store.region,
        object_store.key,
        object_store.secret,
        seal_key=seal_keys.new_key(tmp_path)[1],
    )


@pytest.fixture
def stored(
    settings: ColdSettings, played: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ColdTier]:
    """Archive with the trades of two hours."""
    for table in ("cold_units", "cold_releases", "cold_marks"):
        played.command(f"TRUNCATE TABLE {table} SYNC")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings.s3_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings.s3_secret)
    with closing(open_tier(settings, played)) as opened:
        opened.warehouse.create_tables()
        offload(opened, "silver.trades")
        yield opened


def check_all(tier: ColdTier) -> CheckResult:
    manifests, warehouse = (
        store.manifests_folder(tier.settings),
        store.warehouse_folder(tier.settings),
    )
    assert tier.settings.seal_key
    key = seal_keys.public_file(tier.settings.seal_key)
    return check(manifests.path, warehouse.path, manifests.filesystem, key)


def test_archive_is_compacted_expired_and_swept(stored: ColdTier) -> None:
    before = stored.archive.measure(stored.warehouse.load(SILVER), due_units(stored, SILVER.name))
    report = maintain(stored, LATER, layers=[SILVER])
    assert report.errors == ()
    assert (report.merges, report.files_before, report.files_after) == (2, 6, 2)
    assert report.snapshots == 1
    assert report.orphans >= 6
    table = stored.warehouse.load(SILVER)
    assert len(files(stored, SILVER.name)) == 2
    left = {file.path for file in list_files(table) if file.path.endswith(".parquet")}
    assert {path.partition("/data/")[2] for path in left} == {
        path.partition("data/")[2] for path in files(stored, SILVER.name)
    }
    assert stored.archive.measure(table, before) == before
    assert find_orphans(stored, SILVER, LATER) == []
    assert expire(stored, SILVER, LATER) == 0


def test_young_orphan_stays_by_the_clock_of_the_store(stored: ColdTier) -> None:
    table = stored.warehouse.load(SILVER)
    with table.io.new_output(f"{table.location()}/data/left.parquet").create() as stream:
        stream.write(b"left")
    now = datetime.now(UTC)
    assert find_orphans(stored, SILVER, now + timedelta(hours=23)) == []
    (found,) = find_orphans(stored, SILVER, now + timedelta(hours=25))
    assert found.path.endswith("/data/left.parquet")


def test_manifests_are_made_and_checked(stored: ColdTier) -> None:
    assert make_manifest(stored, SEALED_AT)
    assert make_manifest(stored, SEALED_AT) is None
    maintain(stored, SEALED_AT, layers=[SILVER])
    assert make_manifest(stored, SEALED_AT + timedelta(days=1))
    result = check_all(stored)
    assert result.problems == ()
    assert (result.manifests, result.units, result.files, result.rows) == (2, 6, 2, 82)
    assert result.unsigned == ()
    table = stored.warehouse.load(SILVER)
    path = files(stored, SILVER.name)[0]
    file = table.io.new_input(f"{table.location()}/{path}")
    with file.open() as stream:
        content = bytearray(stream.read())
    content[100] ^= 1
    with table.io.new_output(file.location).create(overwrite=True) as stream:
        stream.write(bytes(content))
    (problem,) = check_all(stored).problems
    assert problem.kind == CHANGED_FILE
    assert problem.name.endswith(path)


def test_one_of_many_writers_at_once_creates_a_file(settings: ColdSettings) -> None:
    folder = store.manifests_folder(settings)

    def write(number: int) -> int | None:
        return number if create(settings, folder, "a.json", str(number).encode()) else None

    with ThreadPoolExecutor(8) as threads:
        winners = [one for one in threads.map(write, range(8)) if one is not None]
    assert len(winners) == 1
    with folder.filesystem.open_input_stream(f"{folder.path}/a.json") as stream:
        assert stream.read() == str(winners[0]).encode()


def test_wrong_key_of_the_store_is_told_without_it(settings: ColdSettings) -> None:
    wrong = replace(settings, s3_secret="another secret")  # noqa: S106 - a wrong one
    with pytest.raises(ArchiveError) as caught:
        create(wrong, store.manifests_folder(wrong), "a.json", b"content")
    assert "another secret" not in str(caught.value)
