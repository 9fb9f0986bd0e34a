"""Empty places for a cold tier: a warehouse, its catalog, and how to reach both."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from pyiceberg.catalog import Catalog, load_catalog

from tests.support.cold.object_store import ObjectStore
from tests.support.cold.postgres import PostgresServer
from tests.support.cold.rest_catalog import RestCatalogAddress


@dataclass(frozen=True)
class Place:
    """A warehouse and a catalog that hold nothing yet."""

    warehouse: str
    """Value of CANDLEWAX_COLD: a directory, or `s3://bucket/prefix`."""
    catalog: str
    """Value of CANDLEWAX_COLD_CATALOG."""
    store: ObjectStore | None = None
    """Where its files are; None: in a local directory."""
    credential: str = ""
    """Value of CANDLEWAX_COLD_CATALOG_CREDENTIAL."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Properties of PyIceberg for this catalog alone."""

    @property
    def settings(self) -> dict[str, str]:
        """Settings of a process that keeps its cold tier here."""
        settings = {"CANDLEWAX_COLD": self.warehouse, "CANDLEWAX_COLD_CATALOG": self.catalog}
        if self.credential:
            settings["CANDLEWAX_COLD_CATALOG_CREDENTIAL"] = self.credential
        if self.store:
            settings |= {
                "CANDLEWAX_COLD_S3_ENDPOINT": self.store.endpoint,
                "CANDLEWAX_COLD_S3_REGION": self.store.region,
                "CANDLEWAX_COLD_S3_KEY": self.store.key,
                "CANDLEWAX_COLD_S3_SECRET": self.store.secret,
            }
        return settings

    @property
    def _token(self) -> dict[str, str]:
        """Credential of a REST catalog and its token address, without which PyIceberg warns."""
        return {
            "credential": self.credential,
            "oauth2-server-uri": f"{self.catalog.rstrip('/')}/v1/oauth/tokens",
        }

    def open(self, name: str = "candlewax") -> Catalog:
        """Return the catalog as plain PyIceberg sees it: nothing of the program under test.

        A database may hold catalogs of several names; a REST catalog does not ask for it.
        """
        is_rest = self.catalog.startswith("http")
        files = self.store.properties if self.store else {}
        return load_catalog(
            name,
            **{
                "type": "rest" if is_rest else "sql",
                "uri": self.catalog,
                "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
                **({} if is_rest else {"warehouse": self.warehouse}),
                **(self._token if self.credential else {}),
                **files,
                **self.properties,
            },
        )


def make_sqlite_place(folder: Path) -> Place:
    """Return a directory, with a catalog in SQLite beside it."""
    warehouse = folder / "cold"
    warehouse.mkdir(parents=True)
    return Place(str(warehouse), f"sqlite:///{folder}/catalog.db")


def make_postgres_place(folder: Path, server: PostgresServer) -> Place:
    """Return a directory, with a catalog in an empty database of Postgres."""
    warehouse = folder / "cold"
    warehouse.mkdir(parents=True)
    return Place(str(warehouse), server.create_database(f"cold_{uuid4().hex}"))


def make_rest_place(catalog: RestCatalogAddress, store: ObjectStore) -> Place:
    """Return a prefix of a bucket, with a REST catalog that is emptied first.

    A catalog that names its warehouse decides where tables are: that warehouse is the place. Else
    tables are where their maker says, or by default in the catalog's own warehouse.
    """
    properties = dict(catalog.properties)
    warehouse = f"s3://{store.bucket}/{uuid4().hex}"
    if catalog.warehouse:
        properties["warehouse"] = warehouse = catalog.warehouse
    place = Place(warehouse, catalog.uri, store, catalog.credential, properties)
    empty_catalog(place.open(), store)
    return place


def empty_catalog(catalog: Catalog, store: ObjectStore) -> None:
    """Remove all tables with their files, and all namespaces."""
    for namespace in catalog.list_namespaces():
        for name in catalog.list_tables(namespace):
            location = catalog.load_table(name).location()
            catalog.drop_table(name)
            # Orphans too, which no purge of a table finds. SeaweedFS refuses, but never gives a
            # location twice.
            with suppress(OSError):
                store.open().delete_dir(location.removeprefix("s3://"))
        catalog.drop_namespace(namespace)
