"""A real Apache Kafka for the tests: one node in KRaft mode, without ZooKeeper.

`python -m tests.support.kafka.broker FOLDER` runs one by hand until it is stopped.
"""

import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.support import jars
from tests.support.jars import CACHE
from tests.support.ports import free_port

HERE: Final = Path(__file__).parent

_CLUSTER: Final = "MkU3OEVBNTcwNTJENDM2Qg"
_READY: Final = 90.0

_PROPERTIES: Final = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
controlled.shutdown.enable=false
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=200
log.retention.check.interval.ms=500
log.initial.task.delay.ms=100
file.delete.delay.ms=100
"""

_LOGGING: Final = """
Configuration:
  Appenders:
    Console:
      name: Console
      PatternLayout: {pattern: "%d %p %c %m%n"}
  Loggers:
    Root:
      level: WARN
      AppenderRef: {ref: Console}
"""


def fetch_jars() -> Path:
    """The broker's jars, fetched from Maven Central once and kept."""
    instead = "name a running broker in CANDLEWAX_TEST_BROKERS"
    return jars.fetch_jars("kafka", HERE / "pom.xml", instead)


class Broker:
    """A broker in a folder; it can be stopped, killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._jars = fetch_jars()
        folder.mkdir(parents=True, exist_ok=True)
        self._properties = folder / "server.properties"
        self._properties.write_text(
            _PROPERTIES.format(port=self.port, controller=free_port(), folder=folder)
        )
        (folder / "log4j2.yaml").write_text(_LOGGING)
        self._format()

    def _format(self) -> None:
        """Prepare the folder of an empty broker. Kafka does so once; what it has written, which
        names neither ports nor folders, is kept for the next brokers.
        """
        kept = self._jars.with_name(
            f"{self._jars.name}-{sha256(_PROPERTIES.encode()).hexdigest()[:8]}"
        )
        if not kept.exists():
            self._run("kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c").wait()
            with TemporaryDirectory(dir=CACHE) as copied:
                shutil.copytree(self._folder / "data", Path(copied, "data"))
                # All at once, or another broker was first.
                with suppress(OSError):
                    Path(copied, "data").rename(kept)
        shutil.copytree(kept, self._folder / "data", dirs_exist_ok=True)

    @property
    def servers(self) -> str:
        """What `CANDLEWAX_BROKERS` takes."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process of a broker that was started."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and return when the broker answers."""
        self._process = self._run("kafka.Kafka")
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        end = time.monotonic() + _READY
        while True:
            try:
                admin.list_topics(timeout=1)
            except KafkaException as error:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((self._folder / "out.log").read_text()) from error
            else:
                return

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop, or kill; returns when it is gone. What it holds stays for the next start."""
        if self._process:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def _run(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        java = [
            "java", "-Xms256m", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={self._folder / 'log4j2.yaml'}", "-cp", f"{self._jars}/*",
        ]  # fmt: skip
        with (self._folder / "out.log").open("ab") as out:
            return subprocess.Popen(
                [*java, name, *arguments, str(self._properties)], stdout=out, stderr=out
            )


if __name__ == "__main__":
    by_hand = Broker(Path(sys.argv[1]).resolve())
    by_hand.start()
    print(f"CANDLEWAX_BROKERS={by_hand.servers}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: by_hand.stop())
    try:
        signal.pause()
    except KeyboardInterrupt:
        by_hand.stop()
