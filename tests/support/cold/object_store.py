"""A real S3 server for tests: s3proxy over a directory, with signatures, on loopback.

`python -m tests.support.cold.object_store FOLDER` runs one by hand until it is stopped.
"""

import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from pyarrow.fs import S3FileSystem

from tests.support.cold.process import JAVA, ServerProcess, answers
from tests.support.jars import fetch_jars
from tests.support.ports import free_port

POM: Final = Path(__file__).parent / "object_store.xml"

BUCKET: Final = "cold"
KEY: Final = "candlewax-tests"
SECRET: Final = "p4ss/w+rd=never?logged"  # noqa: S105 - of a server that only tests reach
"""With characters that an address must escape."""

_PROPERTIES: Final = """
s3proxy.endpoint=http://127.0.0.1:{port}
s3proxy.authorization=aws-v2-or-v4
s3proxy.identity={key}
s3proxy.credential={secret}
jclouds.provider=filesystem-nio2
jclouds.filesystem.basedir={folder}
"""


@dataclass(frozen=True)
class ObjectStore:
    """A bucket, and how to be let in."""

    endpoint: str
    key: str
    secret: str
    bucket: str
    region: str = "us-east-1"

    @staticmethod
    def parse(address: str) -> "ObjectStore":
        """Read `http://KEY:SECRET@HOST:PORT/BUCKET?region=REGION`.

        Key and secret are percent-encoded; the region may be left out. Raises ValueError.
        """
        parts = urlsplit(address)
        bucket = parts.path.strip("/")
        if not (parts.scheme and parts.hostname and parts.username and parts.password and bucket):
            raise ValueError("an object store is http://KEY:SECRET@HOST:PORT/BUCKET?region=REGION")
        return ObjectStore(
            endpoint=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
            key=unquote(parts.username),
            secret=unquote(parts.password),
            bucket=bucket,
            region=parse_qs(parts.query).get("region", ["us-east-1"])[0],
        )

    @property
    def address(self) -> str:
        """The form that `parse` reads and CANDLEWAX_TEST_S3 takes."""
        scheme, _, host = self.endpoint.partition("://")
        account = f"{quote(self.key, safe='')}:{quote(self.secret, safe='')}"
        return f"{scheme}://{account}@{host}/{self.bucket}?region={self.region}"

    @property
    def properties(self) -> dict[str, str]:
        """PyIceberg's properties of a catalog whose files are here."""
        return {
            "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO",
            "s3.endpoint": self.endpoint,
            "s3.region": self.region,
            "s3.access-key-id": self.key,
            "s3.secret-access-key": self.secret,
        }

    @property
    def polars_options(self) -> dict[str, str]:
        """Storage options of Polars, which does not take those of the catalog."""
        return {
            "aws_endpoint_url": self.endpoint,
            "aws_region": self.region,
            "aws_access_key_id": self.key,
            "aws_secret_access_key": self.secret,
        }

    def open(self) -> S3FileSystem:
        """Return the store as Arrow sees it; a bucket may be created."""
        scheme, _, host = self.endpoint.partition("://")
        return S3FileSystem(
            access_key=self.key,
            secret_key=self.secret,
            region=self.region,
            scheme=scheme,
            endpoint_override=host,
            allow_bucket_creation=True,
            # A bucket that is there already is not an error.
            check_directory_existence_before_creation=True,
        )


def fetch_store_jars() -> Path:
    """The store's jar, fetched from Maven Central once and kept."""
    return fetch_jars("s3proxy", POM, "name a running store in CANDLEWAX_TEST_S3")


class ObjectStoreServer:
    """s3proxy over a directory, with an empty bucket after its first start."""

    def __init__(self, folder: Path) -> None:
        jars = fetch_store_jars()
        self.objects = folder / "objects"
        """Where its buckets are directories and its objects are files."""
        self.objects.mkdir(parents=True, exist_ok=True)
        port = free_port()
        self.store = ObjectStore(f"http://127.0.0.1:{port}", KEY, SECRET, BUCKET)
        properties = folder / "s3proxy.properties"
        text = _PROPERTIES.format(port=port, key=KEY, secret=SECRET, folder=self.objects)
        properties.write_text(text, "utf-8")
        command = (
            *JAVA, "-cp", f"{jars}/*", "org.gaul.s3proxy.Main", "--properties", str(properties)
        )  # fmt: skip
        self.process = ServerProcess(folder, command, lambda: answers(self.store.endpoint))

    def start(self) -> None:
        """Start, and return when the store answers and has its bucket."""
        self.process.start()
        self.store.open().create_dir(BUCKET)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop, or kill; what it holds stays for the next start."""
        self.process.stop(number)


if __name__ == "__main__":
    by_hand = ObjectStoreServer(Path(sys.argv[1]).resolve())
    by_hand.start()
    print(f"CANDLEWAX_TEST_S3={by_hand.store.address}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: by_hand.stop())
    try:
        signal.pause()
    except KeyboardInterrupt:
        by_hand.stop()
