"""Answers that are kept while clients read them in parts."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

IDLE_S: Final = 15.0
"""Seconds for which an answer is kept after a part of it was read."""

MOST_AGE_S: Final = 300.0
"""Seconds after which an answer is made anew, however often it is read."""

MOST_BYTES: Final = 64 << 20
"""Bytes of all answers; the one that was read the longest time ago goes first."""

Key = tuple[str, str, str]
"""Path, query and header Accept of a request."""


@dataclass
class Snapshot:
    """An answer as it was: its tag, its bytes, its headers."""

    etag: str
    body: bytes
    headers: Mapping[str, str]
    made_at: float
    read_at: float


class Snapshots:
    """Answers by request, each as long as it is read, and not for ever.

    Clients that read the same address at the same time get parts of the same answer.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[Key, Snapshot] = OrderedDict()

    def find(self, key: Key) -> Snapshot | None:
        """Return the answer that is kept of a request; None if there is none."""
        now = self._clock()
        for other, kept in list(self._kept.items()):
            if now - kept.read_at > IDLE_S or now - kept.made_at > MOST_AGE_S:
                del self._kept[other]
        found = self._kept.get(key)
        if found:
            found.read_at = now
            self._kept.move_to_end(key)
        return found

    def keep(self, key: Key, response: Response) -> Snapshot:
        """Keep an answer in place of an older one."""
        now = self._clock()
        headers = {name: text for name, text in response.headers.items()
                   if name != "content-length"}  # fmt: skip
        kept = Snapshot(response.headers["etag"], bytes(response.body), headers, now, now)
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while sum(len(one.body) for one in self._kept.values()) > MOST_BYTES:
            self._kept.popitem(last=False)
        return kept
