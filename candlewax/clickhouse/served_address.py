"""Address of the process that has an embedded database open and answers queries for others."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from candlewax.clickhouse.directory_lock import is_locked

_FILE: Final = "served_at.json"


class ServedAddress(NamedTuple):
    """Address of such a process, as `http://127.0.0.1:8000`, and what is run there."""

    url: str
    command: str


@contextmanager
def announce_address(folder: Path, address: ServedAddress) -> Iterator[None]:
    """Leave an address in the directory of a database while it is served.

    Without permission to write there nothing is left: others then cannot find the address.
    """
    file = folder / _FILE
    temporary = file.with_suffix(".new")
    with suppress(OSError):
        temporary.write_text(json.dumps(address._asdict()), "utf-8")
        temporary.replace(file)
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink()


def find_address(folder: Path) -> ServedAddress | None:
    """Return the address at which the process that has a directory open answers queries.

    None if no process has it open, or if the one that has answers none. The address is only what
    was left: after a kill another process may be there.
    """
    if not is_locked(folder):
        return None
    try:
        content = json.loads((folder / _FILE).read_text("utf-8"))
        return ServedAddress(str(content["url"]), str(content["command"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
