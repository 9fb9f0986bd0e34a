"""A real Iceberg REST catalog for tests: the Iceberg project's own test server.

`python -m tests.support.cold.rest_catalog FOLDER` runs one by hand until it is stopped, with its
warehouse in the folder.
"""

import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.cold.object_store import ObjectStore
from tests.support.cold.process import JAVA, ServerProcess, answers
from tests.support.jars import fetch_jars
from tests.support.ports import free_port

POM: Final = Path(__file__).parent / "rest_catalog.xml"


@dataclass(frozen=True)
class RestCatalogAddress:
    """Where a REST catalog listens, and what it asks of a client."""

    uri: str
    credential: str = ""
    """`id:secret`; empty: none is asked for."""
    warehouse: str = ""
    """The warehouse that a client names; empty: the catalog has one."""
    properties: dict[str, str] = field(default_factory=dict)
    """Further properties of a client, as PyIceberg names them."""

    @staticmethod
    def parse(address: str) -> "RestCatalogAddress":
        """Read `http://ID:SECRET@HOST:PORT/PATH?warehouse=NAME`.

        Id and secret are percent-encoded; they, the path and the parameter may be left out, and
        any other parameter is a property of the client. Raises ValueError.
        """
        parts = urlsplit(address)
        if not (parts.scheme and parts.hostname):
            raise ValueError("a REST catalog is http://ID:SECRET@HOST:PORT/PATH?warehouse=NAME")
        account = [unquote(part) for part in (parts.username, parts.password) if part]
        named = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return RestCatalogAddress(
            uri=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}",
            credential=":".join(account),
            warehouse=named.pop("warehouse", ""),
            properties=named,
        )


def fetch_catalog_jars() -> Path:
    """The catalog's jars, fetched from Maven Central once and kept."""
    return fetch_jars("iceberg-rest", POM, "name a running catalog in CANDLEWAX_TEST_REST")


class RestCatalogServer:
    """The test server over SQLite, its files in a local directory or in an object store.

    It asks for no credential, and listens on all addresses of the machine: its main program knows
    no other way. Its port is picked at random.
    """

    def __init__(self, folder: Path, store: ObjectStore | None = None) -> None:
        jars = fetch_catalog_jars()
        folder.mkdir(parents=True, exist_ok=True)
        self.warehouse = f"s3://{store.bucket}/warehouse" if store else f"file://{folder}/warehouse"
        port = free_port()
        self.address = RestCatalogAddress(f"http://127.0.0.1:{port}")
        environ = {
            "CATALOG_CATALOG__IMPL": "org.apache.iceberg.jdbc.JdbcCatalog",
            "CATALOG_URI": f"jdbc:sqlite:{folder}/catalog.db",
            "CATALOG_JDBC_SCHEMA__VERSION": "V1",
            "CATALOG_WAREHOUSE": self.warehouse,
            "CATALOG_REST_PORT": str(port),
            **(_environ(store) if store else {}),
        }
        command = (*JAVA, "-cp", f"{jars}/*", "org.apache.iceberg.rest.RESTCatalogServer")
        uri = f"{self.address.uri}/v1/config"
        self.process = ServerProcess(folder, command, lambda: answers(uri), environ)

    def start(self) -> None:
        """Start, and return when the catalog answers."""
        self.process.start()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop, or kill; what it holds stays for the next start."""
        self.process.stop(number)


def _environ(store: ObjectStore) -> dict[str, str]:
    """Return the catalog's own access to an object store.

    The keys are of the AWS client: properties of the catalog are sent to each of its clients.
    """
    return {
        "CATALOG_IO__IMPL": "org.apache.iceberg.aws.s3.S3FileIO",
        "CATALOG_S3_ENDPOINT": store.endpoint,
        "CATALOG_S3_PATH__STYLE__ACCESS": "true",
        "AWS_ACCESS_KEY_ID": store.key,
        "AWS_SECRET_ACCESS_KEY": store.secret,
        "AWS_REGION": store.region,
    }


if __name__ == "__main__":
    by_hand = RestCatalogServer(Path(sys.argv[1]).resolve())
    by_hand.start()
    print(by_hand.address.uri, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: by_hand.stop())
    try:
        signal.pause()
    except KeyboardInterrupt:
        by_hand.stop()
