"""What was asked for on one connection, and what came of it: pure bookkeeping."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from candlewax.exchanges.protocol.websocket import ControlMessage, Kind


@dataclass
class _Request:
    id: int
    instruments: list[str]
    deadline: float = float("inf")


class Subscriptions:
    """Subscriptions of a connection in messages of at most `chunk` instruments.

    An instrument is asked for, then waited for, then subscribed or refused; every one
    ends in one of the two, or is overdue. One that is refused may be asked for again, by itself:
    without an answer it stays refused.
    """

    def __init__(self, natives: Sequence[str], chunk: int, *, whole: bool, in_turn: bool) -> None:
        self._whole = whole
        self._in_turn = in_turn
        self._next = 1
        self._wanted = list(natives)
        self._asked: deque[_Request] = deque()
        self._waiting: dict[int, _Request] = {}
        self.refused: dict[str, str] = {}
        """Native symbols and why they were refused."""
        self._recovered: list[str] = []
        for begin in range(0, len(natives), chunk):
            self._ask(natives[begin : begin + chunk])

    @property
    def subscribed(self) -> list[str]:
        """The instruments that are not refused."""
        return [native for native in self._wanted if native not in self.refused]

    @property
    def done(self) -> bool:
        """Whether all is answered."""
        return not self._asked and not self._waiting

    def _ask(self, natives: Iterable[str]) -> None:
        if instruments := list(natives):
            self._asked.append(_Request(self._next, instruments))
            self._next += 1

    def ask_again(self) -> None:
        """Ask for each refused instrument once more, by itself."""
        for native in self.refused:
            self._ask([native])

    def take_recovered(self) -> list[str]:
        """Return the instruments that had been refused and are subscribed now; each once."""
        recovered, self._recovered = self._recovered, []
        return recovered

    def expire_retries(self, now: float) -> None:
        """Wait no longer for refused instruments that should have been answered by now."""
        for request in list(self._waiting.values()):
            if request.deadline <= now and self._is_retry(request):
                del self._waiting[request.id]

    def _is_retry(self, request: _Request) -> bool:
        return all(native in self.refused for native in request.instruments)

    def send(self) -> tuple[Sequence[str], int] | None:
        """The instruments and the id of the next message; None if there is none."""
        if not self._asked:
            return None
        request = self._asked.popleft()
        self._waiting[request.id] = request
        return tuple(request.instruments), request.id

    def sent(self, number: int, deadline: float) -> None:
        """A message is sent, and is to be answered until then."""
        if number in self._waiting:
            self._waiting[number].deadline = deadline

    def overdue(self, now: float) -> list[str]:
        """The instruments that should have been answered by now."""
        late = [
            request
            for request in self._waiting.values()
            if request.deadline <= now and not self._is_retry(request)
        ]
        return [native for request in late for native in request.instruments]

    def hear(self, heard: ControlMessage) -> list[str]:
        """Take note of an answer; gives the instruments it newly refuses."""
        if heard.kind is Kind.ACK:
            self._acknowledge(heard)
            return []
        return self._refuse(heard) if heard.kind is Kind.REFUSAL else []

    def _acknowledge(self, heard: ControlMessage) -> None:
        if heard.instruments:
            self._recover(heard.instruments)
            self._answered(frozenset(heard.instruments))
        elif heard.request is not None and (request := self._waiting.pop(heard.request, None)):
            self._recover(request.instruments)

    def _recover(self, natives: Iterable[str]) -> None:
        for native in natives:
            if self.refused.pop(native, None) is not None:
                self._recovered.append(native)

    def _answered(self, natives: frozenset[str]) -> None:
        for request in list(self._waiting.values()):
            request.instruments = [name for name in request.instruments if name not in natives]
            if not request.instruments:
                del self._waiting[request.id]

    def _refuse(self, heard: ControlMessage) -> list[str]:
        request = self._meant(heard)
        if request is None:
            return []
        named = [native for native in request.instruments if native in heard.instruments]
        if not named and len(request.instruments) > 1:
            # One of them is wrong: each is asked for by itself.
            del self._waiting[request.id]
            for native in request.instruments:
                self._ask([native])
            return []
        named = named or request.instruments
        known = set(named) & self.refused.keys()
        self.refused.update(dict.fromkeys(named, heard.reason))
        self._answered(frozenset(named))
        if self._whole and request.id in self._waiting:
            del self._waiting[request.id]
            self._ask(request.instruments)
        return [native for native in named if native not in known]

    def _meant(self, heard: ControlMessage) -> _Request | None:
        """The message that an answer is about, as far as it can be told."""
        if heard.request is not None:
            return self._waiting.get(heard.request)
        for request in self._waiting.values():
            if set(heard.instruments) & set(request.instruments):
                return request
        nameless = self._in_turn and not heard.instruments
        return next(iter(self._waiting.values()), None) if nameless else None
