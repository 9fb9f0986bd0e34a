"""Where faults are played: a folder, and a broker and a server once somebody asks for them."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.faults.disk import Disk
from tests.faults.fault import Size
from tests.support.clickhouse_process import Serving
from tests.support.kafka.broker import Broker
from tests.support.kafka.system import System


@dataclass
class Place:
    """Where things are kept, and served once somebody asks for it."""

    folder: Path
    size: Size
    runs: int = 1
    """How often what begins anew each time is done."""
    seed: int = 0
    """What chance begins with in the first of these; in the next it is one more."""
    closing: ExitStack = field(default_factory=ExitStack)

    @cached_property
    def broker(self) -> Broker:
        """A broker that runs."""
        broker = Broker(self.folder / "kafka")
        broker.start()
        self.closing.callback(broker.stop, signal.SIGKILL)
        return broker

    @cached_property
    def disk(self) -> Disk | None:
        """A small disk for the files of the server, where one can be had."""
        if not Disk.possible():
            return None
        disk = Disk(self.folder / "disk")
        self.closing.callback(disk.close)
        return disk

    @cached_property
    def server(self) -> Serving:
        """A server that runs."""
        disk = self.disk
        within = disk.within if disk else list
        server = Serving(disk.folder if disk else self.folder / "server", within=within)
        self.closing.callback(server.end, signal.SIGKILL)
        return server

    def system(self, name: str) -> System:
        """A database of this name, with nothing in it."""
        folder = self.folder / name
        folder.mkdir()
        return System(folder, self.broker.servers, self.server.dsn, name)


@contextmanager
def opened(folder: Path, size: Size, runs: int = 1, seed: int = 0) -> Iterator[Place]:
    """A place of which nothing stays."""
    place = Place(folder, size, runs, seed)
    with place.closing:
        yield place
