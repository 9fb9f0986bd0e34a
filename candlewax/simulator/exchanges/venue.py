"""One open exchange: its markets, its clients and the frames it sends them."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Final

from websockets.asyncio.server import ServerConnection

from candlewax.simulator.exchanges.client import Client
from candlewax.simulator.exchanges.published import PublishedTrades
from candlewax.simulator.frame_faults import FaultPicker, FrameFault
from candlewax.simulator.frames.channels import Bundle, Feed
from candlewax.simulator.market.market import Market, Trade
from candlewax.simulator.plan import ExchangeLimits

NewClient = Callable[["Venue", ServerConnection, int], Client]


class Venue:
    """One exchange.

    `feeds` are the feeds by client form. `gather_us` is how long it gathers the trades of a market;
    0 sends each order by itself.
    """

    def __init__(
        self,
        exchange: str,
        markets: Iterable[Market],
        feeds: Sequence[Feed],
        new_client: NewClient,
        published: PublishedTrades,
        limits: ExchangeLimits,
        fault_picker: FaultPicker,
        refused: Iterable[str] = (),
        gather_us: int = 0,
    ) -> None:
        self.exchange: Final = exchange
        self.markets: Final = {market.native_symbol: market for market in markets}
        self.published: Final = published
        self.limits: Final = limits
        self.clients: dict[int, Client] = {}
        self.refused = set(refused)
        self.has_subscriber = asyncio.Event()
        """Set once a client has subscribed."""
        self._feeds = feeds
        self._new_client = new_client
        self._fault_picker = fault_picker
        self._gather_us = gather_us
        self._subscribers: dict[str, dict[int, Client]] = {
            native_symbol: {} for native_symbol in self.markets
        }
        self._gathered: dict[str, Bundle] = {}
        self._gathered_until_us = 0
        self._delayed: dict[str, tuple[Bundle, FrameFault]] = {}
        self._stalled_until = self._frozen_until = 0.0
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._tasks: set[asyncio.Task[None]] = set()

    # Clients.

    def add_client(self, connection: ServerConnection, number: int) -> Client:
        """Add and return a new client."""
        client = self._new_client(self, connection, number)
        self.clients[number] = client
        return client

    def remove_client(self, client: Client) -> None:
        """Remove a client."""
        self.clients.pop(client.number, None)
        for native_symbol in list(client.native_symbols):
            self.unsubscribe(client, native_symbol)

    def is_known(self, native_symbol: str) -> bool:
        """Return whether clients may subscribe to a market."""
        return native_symbol in self.markets and native_symbol not in self.refused

    def subscribe(self, client: Client, native_symbol: str) -> None:
        """Send a client the trades of a market from now on."""
        client.native_symbols.add(native_symbol)
        self._subscribers[native_symbol][client.number] = client
        self.has_subscriber.set()

    def unsubscribe(self, client: Client, native_symbol: str) -> None:
        """Stop sending a client the trades of a market."""
        client.native_symbols.discard(native_symbol)
        self._subscribers.get(native_symbol, {}).pop(client.number, None)

    @property
    def subscribed(self) -> frozenset[str]:
        """Return the native symbols with a subscriber."""
        return frozenset(
            native_symbol for native_symbol, clients in self._subscribers.items() if clients
        )

    # Frames.

    def history(self, native_symbol: str) -> Bundle:
        """Return the last trades of a market, for a new subscriber."""
        return tuple(
            self.published.market_trades(self.exchange, native_symbol).last(self._feeds[0].history)
        )

    def trade_id(self, trade: Trade) -> str:
        """Return the id that the exchange gives a trade."""
        return self._feeds[0].trade_id(trade)

    def publish(self, bundle: Bundle) -> None:
        """Send trades of one market, or gather them."""
        if self._gather_us:
            native_symbol = bundle[0].market.native_symbol
            self._gathered[native_symbol] = self._gathered.get(native_symbol, ()) + bundle
        elif self._feeds[0].single:
            for trade in bundle:
                self._publish_now((trade,))
        else:
            self._publish_now(bundle)

    def tick(self, now_us: int, *, last: bool = False) -> None:
        """Send gathered trades if they are due, and write all queued messages."""
        if self._gathered and (last or now_us >= self._gathered_until_us):
            self._gathered_until_us = now_us + self._gather_us
            self.send_gathered()
        if last:
            for native_symbol in list(self._delayed):
                self._send_frame(*self._delayed.pop(native_symbol))
        self.flush()

    def send_gathered(self) -> None:
        """Send gathered trades."""
        gathered, self._gathered = self._gathered, {}
        for bundle in gathered.values():
            self._publish_now(bundle)

    def flush(self) -> None:
        """Write all queued messages."""
        if not self.is_frozen:
            for client in self.clients.values():
                client.flush()

    def send_heartbeats(self) -> None:
        """Send heartbeats that are due."""
        if not self.is_frozen:
            for client in self.clients.values():
                client.send_heartbeat()
                client.flush()

    def _publish_now(self, bundle: Bundle) -> None:
        sent = () if self.is_stalled else self._fault_picker.drop_skipped(bundle)
        fault = self._fault_picker.next_fault()
        sent_ns = time.time_ns()
        ids = {trade.trade_id for trade in sent}
        for trade in bundle:
            skipped = fault.is_lost or trade.trade_id not in ids
            self.published.add(trade, sent_ns, skipped=skipped)
        if not sent:
            return
        native_symbol = bundle[0].market.native_symbol
        delayed = self._delayed.pop(native_symbol, None)
        if fault.is_late and not delayed:
            self._delayed[native_symbol] = sent, fault
            return
        self._send_frame(sent, fault)
        if delayed:
            self._send_frame(*delayed)

    def _send_frame(self, bundle: Bundle, fault: FrameFault) -> None:
        sent_us = time.time_ns() // 1000
        texts_by_form: dict[int, list[str]] = {}
        for client in self._subscribers[bundle[0].market.native_symbol].values():
            texts = texts_by_form.get(client.form)
            if texts is None:
                text = self._feeds[client.form].trades(bundle, sent_us)
                texts = texts_by_form[client.form] = fault.texts(text)
            for text in texts:
                client.send_trades(text)

    def play(self, text: str) -> None:
        """Send a frame verbatim to all clients with a subscription."""
        if not self.is_stalled:
            for client in self.clients.values():
                if client.native_symbols:
                    client.send(text)

    # Faults.

    @property
    def is_stalled(self) -> bool:
        """Return whether no trades are sent."""
        return self.is_frozen or (
            self._stalled_until > 0 and asyncio.get_running_loop().time() < self._stalled_until
        )

    @property
    def is_frozen(self) -> bool:
        """Return whether nothing is sent."""
        return not self._thawed.is_set()

    async def wait_until_thawed(self) -> None:
        """Wait until the exchange is not frozen."""
        await self._thawed.wait()

    def stall(self, seconds: float) -> None:
        """Send no trades for some seconds."""
        until = asyncio.get_running_loop().time() + seconds
        self._stalled_until = max(self._stalled_until, until)

    def freeze(self, seconds: float) -> None:
        """Send and read nothing for some seconds."""
        loop = asyncio.get_running_loop()
        self._frozen_until = max(self._frozen_until, loop.time() + seconds)
        self._thawed.clear()
        for client in self.clients.values():
            client.set_reading(is_reading=False)
        loop.call_at(self._frozen_until, self._thaw_if_due)

    def _thaw_if_due(self) -> None:
        # Another freeze may have extended it.
        if asyncio.get_running_loop().time() >= self._frozen_until:
            self.thaw()

    def thaw(self) -> None:
        """Send and read again."""
        self._thawed.set()
        for client in self.clients.values():
            client.set_reading(is_reading=True)

    def run_in_background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run a coroutine in the background."""
        task = asyncio.get_running_loop().create_task(work)
        # asyncio holds tasks weakly: an unreferenced one may be collected before it is done.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def refuse(self, native_symbol: str) -> None:
        """Reject a market from now on."""
        self.refused.add(native_symbol)
