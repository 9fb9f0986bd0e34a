"""The servers of the cold tier's tests, seen by plain PyIceberg, Polars and ClickHouse."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import polars as pl
import pytest
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.table import Table

from tests.support.cold.clickhouse import ask, keys, pinned_metadata, source
from tests.support.cold.object_store import ObjectStore
from tests.support.cold.places import Place, make_rest_place
from tests.support.cold.rest_catalog import RestCatalogAddress
from tests.support.cold.trades_table import NAME, committed, create, rows, swap, write

pytestmark = pytest.mark.slow("an object store, a REST catalog and Postgres", seconds=15)


def read_by_clickhouse(place: Place, table: Table, folder: Path) -> tuple[int, Decimal]:
    query = f"SELECT count(), toString(sum(price)) FROM {source(table, place.store)}"
    ((count, total),) = ask(folder, query, environ=keys(place.store))
    return int(count), Decimal(total)


def read_by_polars(place: Place, table: Table, _folder: Path) -> tuple[int, Decimal]:
    options = place.store.polars_options if place.store else None
    scan = pl.scan_iceberg(table, reader_override="native", storage_options=options)
    prices = scan.collect()["price"].to_list()
    return len(prices), sum(prices, Decimal())


KEYS: Final = Path(__file__).parents[2] / "deploy" / "clickhouse" / "cold.xml"
READERS: Final = (read_by_polars, read_by_clickhouse)


@pytest.mark.parametrize("read", READERS)
def test_committed_rows_are_read_and_others_are_not(
    place: Place, tmp_path: Path, read: Callable[[Place, Table, Path], tuple[int, Decimal]]
) -> None:
    """By another reader than the one that wrote, through the catalog's metadata."""
    catalog = place.open()
    table = create(catalog)
    kraken, coinbase = rows("kraken", 100), rows("coinbase", 50)
    swap(table, write(table, kraken))
    swap(table, write(table, coinbase))
    write(table, rows("kraken", 7))
    again = place.open().load_table(NAME)
    expected = sum((row["price"] for row in kraken + coinbase), Decimal())
    assert read(place, again, tmp_path) == (150, expected)


def test_racer_with_the_same_base_is_refused(place: Place) -> None:
    """The racer replaces the same file, or only adds one to the same partition."""
    table = create(place.open())
    swap(table, write(table, rows("kraken", 10)))
    racer = place.open().load_table(NAME)
    content = rows("kraken", 20)
    swap(table, write(table, content), committed(table))
    for old in (committed(racer), []):
        with pytest.raises((CommitFailedException, ValidationException)):
            swap(racer, write(racer, rows("kraken", 30)), old)
    assert len(place.open().load_table(NAME).scan().to_arrow()) == len(content)


def files_with(text: str, folder: Path) -> list[str]:
    """The files below a folder in which a text stands."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return [path.name for path in paths if text.encode() in path.read_bytes()]


def check_view(
    folder: Path, function: str, *before: str, environ: Mapping[str, str] | None = None
) -> None:
    """Create a view of three rows, and read it after ClickHouse was started again."""
    ask(folder, *before, f"CREATE VIEW cold AS SELECT * FROM {function}", environ=environ)
    assert ask(folder, "SELECT count() FROM cold", environ=environ) == [["3"]]


@pytest.fixture
def stored(rest_catalog: RestCatalogAddress, object_store: ObjectStore) -> Table:
    """A table of three rows in the object store."""
    table = create(make_rest_place(rest_catalog, object_store).open())
    swap(table, write(table, rows("kraken", 3)))
    return table


def test_clickhouse_takes_keys_from_its_environment(
    stored: Table, object_store: ObjectStore, tmp_path: Path
) -> None:
    """A view over the store then holds none, and nothing on the disk does."""
    check_view(tmp_path, source(stored, object_store), environ=keys(object_store))
    assert files_with(object_store.secret, tmp_path) == []
    assert files_with("icebergS3", tmp_path) == ["cold.sql"]


def test_named_collection_keeps_keys_out_of_views_but_on_the_disk(
    stored: Table, object_store: ObjectStore, tmp_path: Path
) -> None:
    """It outlives its process, in clear text in a file of its own."""
    collection = (
        f"CREATE NAMED COLLECTION keys AS url = '{object_store.endpoint}/{object_store.bucket}/', "
        f"access_key_id = '{object_store.key}', secret_access_key = '{object_store.secret}'"
    )
    folder = stored.location().removeprefix(f"s3://{object_store.bucket}/")
    function = f"icebergS3(keys, filename = '{folder}/', {pinned_metadata(stored)})"
    check_view(tmp_path, function, collection)
    assert files_with(object_store.secret, tmp_path) == ["keys.sql"]
    shown = ask(tmp_path, "SELECT collection FROM system.named_collections")
    assert object_store.secret not in str(shown)


def test_clickhouse_takes_keys_from_the_configuration_of_compose(
    stored: Table, object_store: ObjectStore, tmp_path: Path
) -> None:
    """By the address of the store; the file names the variables that hold the keys."""
    text = KEYS.read_text("utf-8").replace("http://seaweedfs:8333", object_store.endpoint)
    configuration = tmp_path / "cold.xml"
    configuration.write_text(text, "utf-8")
    query = f"SELECT count() FROM {source(stored, object_store)}"
    right = {"COLD_S3_KEY": object_store.key, "COLD_S3_SECRET": object_store.secret}
    assert ask(tmp_path, query, configuration=configuration, environ=right) == [["3"]]
    wrong = {**right, "COLD_S3_SECRET": "another"}
    with pytest.raises(AssertionError, match="403"):
        ask(tmp_path, query, configuration=configuration, environ=wrong)


def test_store_refuses_a_wrong_secret(object_store: ObjectStore) -> None:
    """Signatures are checked."""
    stranger = replace(object_store, secret=object_store.secret[::-1])
    with pytest.raises(OSError, match=r"(?i)access|denied|forbidden|signature"):
        stranger.open().open_output_stream(f"{object_store.bucket}/refused").close()


def test_addresses_of_outside_servers_are_read() -> None:
    """In the form that CANDLEWAX_TEST_S3 and CANDLEWAX_TEST_REST take."""
    store = ObjectStore("http://127.0.0.1:8333", "k/e:y", "s@cr/t?", "cold", "eu-west-3")
    assert ObjectStore.parse(store.address) == store
    assert RestCatalogAddress.parse(
        "http://k%2Fey:s%40cret@127.0.0.1:8181/catalog?warehouse=s3%3A%2F%2Fcold%2F&scope=all"
    ) == RestCatalogAddress(
        "http://127.0.0.1:8181/catalog", "k/ey:s@cret", "s3://cold/", {"scope": "all"}
    )
    for address in ("127.0.0.1:8333", "http://127.0.0.1:8333/cold", "http://k:s@127.0.0.1:8333"):
        with pytest.raises(ValueError, match="KEY:SECRET"):
            ObjectStore.parse(address)
