"""Conformance suite: the tests that each exchange passes once it declares its frames.

A test module declares an exchange and collects the tests by a class of its own:

    class TestConformance(Conformance):
        declared = Declared("kraken", "BTC/USD", "BTC/USD", frames=(...), trades=(...), ...)

Frames and responses are written after the exchange's documentation, and the trades that they mean
by hand.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import polars as pl
import pytest

from candlewax.core.trades.decode import DecodedFrames
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.dialect import BUY, SELL
from candlewax.exchanges.protocol.fields import Number, parse
from candlewax.exchanges.protocol.rest import RestErrorKind
from candlewax.exchanges.protocol.websocket import Kind
from candlewax.simulator.exchanges.registry import markets_of
from candlewax.simulator.plan import Plan
from tests.support.decoding import read
from tests.support.simulated_feed import begin, play, published, received, subscribed

COLUMNS, ONE_BY_ONE = 0, 1_000
"""Most frames of a batch that are read one by one: none, or all."""


@dataclass(frozen=True)
class Trade:
    """Trade as it is to be read; `side` is the taker's. `trade_id` is None if made of content."""

    trade_id: str | None
    time: datetime
    side: str
    price: str
    quantity: str

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a decoded trade is this one."""
        return (
            self.trade_id in (None, row["trade_id"])
            and row["timestamp"] == self.time
            and row["side"] == (BUY if self.side == "BUY" else SELL)
            and row["price"] == Decimal(self.price)
            and row["quantity"] == Decimal(self.quantity)
        )


@dataclass(frozen=True)
class Declared:
    """An exchange, by its frames and what they mean.

    `frames` hold `trades`, in this order, with both sides; all are of one market, and of today's
    layout. `opening`: frames of the connection that must come before, if trades can only be read
    after them. `is_numbered`: ids count the trades of a market without holes, or `numbers` beside
    the ids do.

    `controls`: each kind of frame without trades and how it is read. `refusal`: a frame that
    refuses a subscription. `unknown`: a native symbol that does not exist; `refuses_unknown`:
    the exchange refuses it, and does not just stay silent about it. `malformed`: frames that are
    dead letters, each with its reason.

    `response`: a REST response about this market with the same trades in any order.
    `response_matches`: the fields in which they equal those of the websocket. `rest_errors`:
    status, response and kind of each error.
    """

    exchange: str
    native_symbol: str
    symbol: str
    frames: tuple[str, ...]
    trades: tuple[Trade, ...]
    is_numbered: bool
    controls: Mapping[str, Kind]
    refusal: str
    unknown: str
    malformed: Mapping[str, str]
    response: str
    rest_errors: tuple[tuple[int, str, RestErrorKind], ...]
    opening: tuple[str, ...] = ()
    refuses_unknown: bool = True
    numbers: tuple[int, ...] | None = None
    response_matches: tuple[str, ...] = ("trade_id", "timestamp", "side", "price", "quantity")


def _trades_of(decoded: DecodedFrames) -> list[dict[str, Any]]:
    return decoded.trades.rows(named=True)


def _reverse_fields(value: Any) -> str:
    """Return JSON with the fields of each object in the reverse order, and numbers as they were."""
    if isinstance(value, dict):
        fields = (f"{json.dumps(name)}: {_reverse_fields(value[name])}" for name in reversed(value))
        return "{" + ", ".join(fields) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_reverse_fields, value)) + "]"
    return str(value) if isinstance(value, Number) else json.dumps(value)


class Conformance:
    """Tests of one declared exchange."""

    declared: ClassVar[Declared]

    def read(self, *frames: str, few: int = COLUMNS) -> DecodedFrames:
        """Read frames after those that open the connection."""
        return read(self.declared.exchange, *self.declared.opening, *frames, few=few)

    @pytest.mark.parametrize("few", [COLUMNS, ONE_BY_ONE])
    def test_frames_are_read_as_declared(self, few: int) -> None:
        """In columns and one by one."""
        decoded = self.read(*self.declared.frames, few=few)
        assert decoded.dead_letters.is_empty()
        rows = _trades_of(decoded)
        assert {row["symbol"] for row in rows} == {self.declared.symbol}
        assert {row["native_symbol"] for row in rows} == {self.declared.native_symbol}
        assert {row["condition"] for row in rows} == {None}
        for trade, row in zip(self.declared.trades, rows, strict=True):
            assert trade.matches(row), (trade, row)

    def test_both_sides_are_declared(self) -> None:
        assert {trade.side for trade in self.declared.trades} == {"BUY", "SELL"}

    def test_order_of_fields_does_not_matter(self) -> None:
        """A frame that is not of today's layout is read alike."""
        reversed_frames = [_reverse_fields(parse(frame)) for frame in self.declared.frames]
        rows = _trades_of(self.read(*reversed_frames))
        for trade, row in zip(self.declared.trades, rows, strict=True):
            assert trade.matches(row), (trade, row)

    def test_frames_have_a_layout_of_today(self) -> None:
        """So they are read in columns."""
        layouts = EXCHANGES[self.declared.exchange].layouts
        for frame in self.declared.frames:
            assert any(
                pl.Series([frame]).str.contains(pattern)[0]
                for layout in layouts
                for pattern in (layout.single_pattern, layout.many_pattern)
            ), frame

    def test_trade_received_twice_is_a_duplicate(self) -> None:
        """Also in another batch, as after a reconnect."""
        deduplicator = Deduplicator()
        for is_new in (True, False):
            trades = self.read(*self.declared.frames).trades
            assert deduplicator.mark_new(trades).is_new.to_list() == [is_new] * trades.height

    def test_ids_count_trades_only_if_the_exchange_numbers_them(self) -> None:
        numbers = self.declared.numbers
        sequences = self.read(*self.declared.frames).trades["sequence"].to_list()
        if self.declared.is_numbered:
            ids = [int(trade.trade_id or 0) for trade in self.declared.trades if not numbers]
            assert sequences == list(numbers or ids)
        else:
            assert set(sequences) == {0}

    def test_trade_frames_are_told_from_others(self) -> None:
        is_trade = EXCHANGES[self.declared.exchange].live.is_trade
        assert all(map(is_trade, self.declared.frames))
        assert not any(map(is_trade, self.declared.controls))

    def test_control_frames_are_read_as_declared(self) -> None:
        parse_control = EXCHANGES[self.declared.exchange].live.parse_control
        kinds = {frame: parse_control(frame).kind for frame in self.declared.controls}
        assert kinds == self.declared.controls
        decoded = self.read(*self.declared.controls)
        assert decoded.trades.is_empty()
        assert decoded.dead_letters.is_empty()

    def test_malformed_frames_are_dead_letters(self) -> None:
        for frame, reason in self.declared.malformed.items():
            decoded = self.read(frame)
            assert decoded.dead_letters["reason"].to_list() == [reason], frame
            assert decoded.trades.is_empty()

    def test_refusal_is_read(self) -> None:
        live = EXCHANGES[self.declared.exchange].live
        control = live.parse_control(self.declared.refusal)
        assert control.kind is Kind.REFUSAL
        assert control.reason

    def test_response_equals_the_websocket(self) -> None:
        """In the declared fields, which candles use."""
        connection = f"rest/{self.declared.native_symbol}"
        answered = read(
            self.declared.exchange, self.declared.response, connection=connection
        ).trades.rows(named=True)
        names = self.declared.response_matches
        received_rows = _trades_of(self.read(*self.declared.frames))
        assert sorted(tuple(row[name] for name in names) for row in answered) == sorted(
            tuple(row[name] for name in names) for row in received_rows
        )
        assert {row["symbol"] for row in answered} == {self.declared.symbol}

    def test_rest_errors_are_read(self) -> None:
        parse_error = EXCHANGES[self.declared.exchange].rest.parse_error
        for status, response, kind in self.declared.rest_errors:
            try:
                content = json.loads(response)
            except ValueError:
                content = None
            error = parse_error(status, content)
            assert error is not None, response
            assert error.kind is kind, response

    def test_subscription_names_each_market_within_the_limits(self) -> None:
        live = EXCHANGES[self.declared.exchange].live
        assert live.symbols_per_message <= live.symbols_per_connection
        markets = markets_of(self.declared.exchange)[: live.symbols_per_message]
        names = [market.native_symbol for market in markets]
        message = live.subscribe(names, 7).lower()
        assert all(name.lower() in message for name in names)

    def test_every_published_trade_is_received(self) -> None:
        """From the simulated exchange, with its limits; no frame is a dead letter."""
        exchange = self.declared.exchange
        with subscribed(exchange, Plan(rate=2000, trades=1000, starts_paused=True)) as live:
            simulator, run, reader = live
            play(simulator, run)
            sent = published(simulator, exchange)
            reader.until(lambda: sent <= received(reader, exchange))
            reader.finish()
        assert sent
        assert len(reader.events("connected")) == 1

    def test_trades_continue_after_a_dropped_connection(self) -> None:
        """The end and the new subscription are told."""
        exchange = self.declared.exchange
        with subscribed(exchange, Plan(rate=200, starts_paused=True)) as (simulator, run, reader):
            run(begin(simulator))
            reader.until(lambda: received(reader, exchange))
            run(simulator.drop(exchange))
            reader.until(lambda: len(reader.events("subscribed")) == 2)
            before = received(reader, exchange)
            reader.until(lambda: received(reader, exchange) - before)
            reader.finish()
        assert reader.events("disconnected")[0]["code"] == 1006

    def test_unknown_market_is_refused_and_told(self) -> None:
        """The others of its connection are received."""
        exchange = self.declared.exchange
        plan = Plan(rate=2000, trades=300, starts_paused=True)
        with subscribed(exchange, plan, self.declared.unknown) as live:
            simulator, run, reader = live
            play(simulator, run)
            sent = published(simulator, exchange)
            reader.until(lambda: sent <= received(reader, exchange))
            reader.finish()
        assert sent
        refused = [name for event in reader.events("refused") for name in event["instruments"]]
        assert refused == ([self.declared.unknown] if self.declared.refuses_unknown else [])
