"""The object store, the catalogs and the places of a cold tier that tests share.

CANDLEWAX_TEST_S3 names a store to use instead of our own, and CANDLEWAX_TEST_REST a REST catalog
whose files are in it; `ObjectStore.parse` and `RestCatalogAddress.parse` say in which form. The
catalog must be there for tests alone: they remove all its tables.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cold.object_store import ObjectStore, ObjectStoreServer
from tests.support.cold.places import Place, make_postgres_place, make_rest_place, make_sqlite_place
from tests.support.cold.postgres import PostgresServer
from tests.support.cold.rest_catalog import RestCatalogAddress, RestCatalogServer
from tests.support.jars import MissingProgramError, do_without

PLACES = ("sqlite", "postgres", "rest")


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A bucket: of the store that the environment names, or of one of our own."""
    named = os.environ.get("CANDLEWAX_TEST_S3")
    if named:
        yield ObjectStore.parse(named)
        return
    try:
        server = ObjectStoreServer(tmp_path_factory.mktemp("objects"))
    except MissingProgramError as error:
        do_without(error)
    server.start()
    try:
        yield server.store
    finally:
        server.stop()


@pytest.fixture(scope="session")
def rest_catalog(
    object_store: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RestCatalogAddress]:
    """A REST catalog over the object store: the one the environment names, or one of our own."""
    named = os.environ.get("CANDLEWAX_TEST_REST")
    if named:
        if not os.environ.get("CANDLEWAX_TEST_S3"):
            pytest.fail("CANDLEWAX_TEST_REST needs CANDLEWAX_TEST_S3: the store of its files")
        yield RestCatalogAddress.parse(named)
        return
    try:
        server = RestCatalogServer(tmp_path_factory.mktemp("rest"), object_store)
    except MissingProgramError as error:
        do_without(error)
    server.start()
    try:
        yield server.address
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A running Postgres."""
    try:
        server = PostgresServer()
    except MissingProgramError as error:
        do_without(error)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place of each kind: SQLite and Postgres over a directory, REST over S3."""
    if request.param == "sqlite":
        return make_sqlite_place(tmp_path)
    if request.param == "postgres":
        return make_postgres_place(tmp_path, request.getfixturevalue("postgres"))
    catalog = request.getfixturevalue("rest_catalog")
    return make_rest_place(catalog, request.getfixturevalue("object_store"))
