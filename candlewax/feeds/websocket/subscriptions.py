"""State of the subscriptions of one connection; does no input or output."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from candlewax.exchanges.protocol.websocket import ControlMessage, Kind


@dataclass
class _Request:
    id: int
    native_symbols: list[str]
    deadline: float = float("inf")


class Subscriptions:
    """Subscriptions of a connection, in messages of at most `symbols_per_message` markets.

    Each market is requested, then acknowledged or refused; without an answer in time it is
    overdue. A refused market can be requested again, by itself; without an answer it stays refused.
    The other parameters are those of `WebSocketRules`.
    """

    def __init__(
        self,
        native_symbols: Sequence[str],
        symbols_per_message: int,
        *,
        rejects_whole_message: bool,
        replies_in_order: bool,
    ) -> None:
        self._rejects_whole_message = rejects_whole_message
        self._replies_in_order = replies_in_order
        self._next_id = 1
        self._native_symbols = list(native_symbols)
        self._queued: deque[_Request] = deque()
        self._waiting: dict[int, _Request] = {}
        self.refused: dict[str, str] = {}
        """Refused native symbols, with the reason of the exchange."""
        self._recovered: list[str] = []
        for begin in range(0, len(native_symbols), symbols_per_message):
            self._enqueue(native_symbols[begin : begin + symbols_per_message])

    @property
    def subscribed(self) -> list[str]:
        """Return the native symbols that are not refused."""
        return [symbol for symbol in self._native_symbols if symbol not in self.refused]

    @property
    def is_done(self) -> bool:
        """Return True if no request is queued or unanswered."""
        return not self._queued and not self._waiting

    def _enqueue(self, native_symbols: Iterable[str]) -> None:
        if symbols := list(native_symbols):
            self._queued.append(_Request(self._next_id, symbols))
            self._next_id += 1

    def retry_refused(self) -> None:
        """Queue a request for each refused market, by itself."""
        for symbol in self.refused:
            self._enqueue([symbol])

    def take_recovered(self) -> list[str]:
        """Return the markets that were refused and are subscribed now; each once."""
        recovered, self._recovered = self._recovered, []
        return recovered

    def expire_retries(self, now: float) -> None:
        """Drop requests for refused markets whose deadline has passed."""
        for request in list(self._waiting.values()):
            if request.deadline <= now and self._is_retry(request):
                del self._waiting[request.id]

    def _is_retry(self, request: _Request) -> bool:
        return all(symbol in self.refused for symbol in request.native_symbols)

    def next_request(self) -> tuple[Sequence[str], int] | None:
        """Return the native symbols and the id of the next message; None if there is none."""
        if not self._queued:
            return None
        request = self._queued.popleft()
        self._waiting[request.id] = request
        return tuple(request.native_symbols), request.id

    def set_deadline(self, request_id: int, deadline: float) -> None:
        """Set the time by which a sent message must be answered."""
        if request_id in self._waiting:
            self._waiting[request_id].deadline = deadline

    def overdue(self, now: float) -> list[str]:
        """Return the markets whose deadline has passed; refused ones are left out."""
        overdue = [
            request
            for request in self._waiting.values()
            if request.deadline <= now and not self._is_retry(request)
        ]
        return [symbol for request in overdue for symbol in request.native_symbols]

    def apply_answer(self, answer: ControlMessage) -> list[str]:
        """Apply an answer of the exchange. Return the markets that it newly refuses."""
        if answer.kind is Kind.ACK:
            self._acknowledge(answer)
            return []
        return self._refuse(answer) if answer.kind is Kind.REFUSAL else []

    def _acknowledge(self, answer: ControlMessage) -> None:
        if answer.native_symbols:
            self._recover(answer.native_symbols)
            self._remove(frozenset(answer.native_symbols))
        elif answer.request is not None and (request := self._waiting.pop(answer.request, None)):
            self._recover(request.native_symbols)

    def _recover(self, native_symbols: Iterable[str]) -> None:
        for symbol in native_symbols:
            if self.refused.pop(symbol, None) is not None:
                self._recovered.append(symbol)

    def _remove(self, native_symbols: frozenset[str]) -> None:
        for request in list(self._waiting.values()):
            request.native_symbols = [
                name for name in request.native_symbols if name not in native_symbols
            ]
            if not request.native_symbols:
                del self._waiting[request.id]

    def _refuse(self, answer: ControlMessage) -> list[str]:
        request = self._find_request(answer)
        if request is None:
            return []
        refused = [symbol for symbol in request.native_symbols if symbol in answer.native_symbols]
        if not refused and len(request.native_symbols) > 1:
            # One of them is wrong, and the answer does not name it: request each by itself.
            del self._waiting[request.id]
            for symbol in request.native_symbols:
                self._enqueue([symbol])
            return []
        refused = refused or request.native_symbols
        already_refused = set(refused) & self.refused.keys()
        self.refused.update(dict.fromkeys(refused, answer.reason))
        self._remove(frozenset(refused))
        if self._rejects_whole_message and request.id in self._waiting:
            del self._waiting[request.id]
            self._enqueue(request.native_symbols)
        return [symbol for symbol in refused if symbol not in already_refused]

    def _find_request(self, answer: ControlMessage) -> _Request | None:
        """Return the request that an answer refers to, None if that is open."""
        if answer.request is not None:
            return self._waiting.get(answer.request)
        for request in self._waiting.values():
            if set(answer.native_symbols) & set(request.native_symbols):
                return request
        is_first_meant = self._replies_in_order and not answer.native_symbols
        return next(iter(self._waiting.values()), None) if is_first_meant else None
