"""An exchange that is open: its markets, who listens, and what they are told."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Final

from websockets.asyncio.server import ServerConnection

from candlewax.simulator.exchanges.client import Client
from candlewax.simulator.exchanges.published import Books
from candlewax.simulator.frame_faults import Chance, FrameFault
from candlewax.simulator.frames.channels import Bundle, Feed
from candlewax.simulator.market.market import Market
from candlewax.simulator.plan import ExchangeLimits

NewClient = Callable[["Venue", ServerConnection, int], Client]


class Venue:
    """One exchange. `feeds` gives what is said to the clients of each form;
    `gather_us` is how long it gathers the trades of a market, 0 for not at all.
    """

    def __init__(
        self,
        exchange: str,
        markets: Iterable[Market],
        feeds: Sequence[Feed],
        new_client: NewClient,
        books: Books,
        manners: ExchangeLimits,
        chance: Chance,
        refused: Iterable[str] = (),
        gather_us: int = 0,
    ) -> None:
        self.exchange: Final = exchange
        self.markets: Final = {market.native: market for market in markets}
        self.books: Final = books
        self.manners: Final = manners
        self.clients: dict[int, Client] = {}
        self.refused = set(refused)
        self.heard_of = asyncio.Event()
        """Set once somebody has subscribed."""
        self._feeds = feeds
        self._new_client = new_client
        self._chance = chance
        self._gather_us = gather_us
        self._listeners: dict[str, dict[int, Client]] = {native: {} for native in self.markets}
        self._gathered: dict[str, Bundle] = {}
        self._gathered_until_us = 0
        self._late: dict[str, tuple[Bundle, FrameFault]] = {}
        self._stalled_until = self._frozen_until = 0.0
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._tasks: set[asyncio.Task[None]] = set()

    # Who listens.

    def welcome(self, connection: ServerConnection, number: int) -> Client:
        """A client that has just come."""
        client = self._new_client(self, connection, number)
        self.clients[number] = client
        return client

    def leave(self, client: Client) -> None:
        """A client that has gone."""
        self.clients.pop(client.number, None)
        for native in list(client.native):
            self.unsubscribe(client, native)

    def knows(self, native: str) -> bool:
        """Whether one may subscribe to this market."""
        return native in self.markets and native not in self.refused

    def subscribe(self, client: Client, native: str) -> None:
        """Tell a client of this market from now on."""
        client.native.add(native)
        self._listeners[native][client.number] = client
        self.heard_of.set()

    def unsubscribe(self, client: Client, native: str) -> None:
        """Tell it no more."""
        client.native.discard(native)
        self._listeners.get(native, {}).pop(client.number, None)

    @property
    def subscribed(self) -> frozenset[str]:
        """The markets that somebody listens to."""
        return frozenset(native for native, clients in self._listeners.items() if clients)

    # What they are told.

    def history(self, native: str) -> Bundle:
        """The last trades of a market, for who subscribes."""
        return tuple(self.books.book(self.exchange, native).last(self._feeds[0].history))

    def publish(self, bundle: Bundle) -> None:
        """Send trades of one market, or keep them until it is time."""
        if self._gather_us:
            native = bundle[0].market.native
            self._gathered[native] = self._gathered.get(native, ()) + bundle
        elif self._feeds[0].single:
            for trade in bundle:
                self._send((trade,))
        else:
            self._send(bundle)

    def tick(self, now_us: int, *, last: bool = False) -> None:
        """Send what was gathered if it is time, and write all there is to be sent."""
        if self._gathered and (last or now_us >= self._gathered_until_us):
            self._gathered_until_us = now_us + self._gather_us
            self.send_gathered()
        if last:
            for native in list(self._late):
                self._say(*self._late.pop(native))
        self.flush()

    def send_gathered(self) -> None:
        """Send what was gathered."""
        gathered, self._gathered = self._gathered, {}
        for bundle in gathered.values():
            self._send(bundle)

    def flush(self) -> None:
        """Write all there is to be sent."""
        if not self.frozen:
            for client in self.clients.values():
                client.flush()

    def beat(self) -> None:
        """Let each client have its sign of life."""
        if not self.frozen:
            for client in self.clients.values():
                client.beat()
                client.flush()

    def _send(self, bundle: Bundle) -> None:
        heard = () if self.stalled else self._chance.heard(bundle)
        fate = self._chance.fate()
        sent_ns = time.time_ns()
        ids = {trade.trade_id for trade in heard}
        for trade in bundle:
            skipped = fate.lost or trade.trade_id not in ids
            self.books.add(trade, sent_ns, skipped=skipped)
        if not heard:
            return
        native = bundle[0].market.native
        before = self._late.pop(native, None)
        if fate.late and not before:
            self._late[native] = heard, fate
            return
        self._say(heard, fate)
        if before:
            self._say(*before)

    def _say(self, bundle: Bundle, fate: FrameFault) -> None:
        sent_us = time.time_ns() // 1000
        made: dict[int, list[str]] = {}
        for client in self._listeners[bundle[0].market.native].values():
            texts = made.get(client.form)
            if texts is None:
                text = self._feeds[client.form].trades(bundle, sent_us)
                texts = made[client.form] = fate.texts(text)
            for text in texts:
                client.tell(text)

    def play(self, text: str) -> None:
        """Send a frame as it stands to all who have subscribed to anything."""
        if not self.stalled:
            for client in self.clients.values():
                if client.native:
                    client.say(text)

    # How they are treated.

    @property
    def stalled(self) -> bool:
        """Whether no trades are sent."""
        return self.frozen or (
            self._stalled_until > 0 and asyncio.get_running_loop().time() < self._stalled_until
        )

    @property
    def frozen(self) -> bool:
        """Whether nothing is sent at all."""
        return not self._thawed.is_set()

    async def thawed(self) -> None:
        """Wait until anything may be sent."""
        await self._thawed.wait()

    def stall(self, seconds: float) -> None:
        """Send no trades for so long."""
        until = asyncio.get_running_loop().time() + seconds
        self._stalled_until = max(self._stalled_until, until)

    def freeze(self, seconds: float) -> None:
        """Send nothing and hear nothing for so long."""
        loop = asyncio.get_running_loop()
        self._frozen_until = max(self._frozen_until, loop.time() + seconds)
        self._thawed.clear()
        for client in self.clients.values():
            client.listen(listening=False)
        loop.call_at(self._frozen_until, self._thaw)

    def _thaw(self) -> None:
        # Another freeze may have made it longer.
        if asyncio.get_running_loop().time() >= self._frozen_until:
            self.thaw()

    def thaw(self) -> None:
        """Send and hear again."""
        self._thawed.set()
        for client in self.clients.values():
            client.listen(listening=True)

    def later(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Do something beside."""
        task = asyncio.get_running_loop().create_task(work)
        # A task that nobody holds may vanish before it is done.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def refuse(self, native: str) -> None:
        """Know a market no longer."""
        self.refused.add(native)
