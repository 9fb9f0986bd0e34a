"""Event stream of a market as a WebSocket.

A browser opens at most six HTTP/1.1 connections to a server, and an event stream keeps one: the
seventh tab would wait for ever. WebSockets do not count.
"""

import asyncio
from collections.abc import Coroutine
from typing import Final

from starlette.requests import Request
from starlette.websockets import WebSocket, WebSocketDisconnect

from candlewax.web import problem
from candlewax.web.api import params
from candlewax.web.problem import Problem
from candlewax.web.queries import Series
from candlewax.web.stream.client import StreamClient
from candlewax.web.stream.subscribers import Subscribers

PATIENCE: Final = 15.0
"""Seconds of silence after which an empty message shows that the stream is alive."""

_GOING_AWAY: Final = 1001
"""Status of a WebSocket that the server closes as it stops."""


class StreamSocket:
    """Endpoint that sends each WebSocket the events of one market."""

    def __init__(self, subscribers: Subscribers) -> None:
        self._subscribers = subscribers

    async def answer(self, websocket: WebSocket) -> None:
        """Send events until either side closes; before, answer a bad request as HTTP does."""
        try:
            client = self._add_client(websocket)
        except Problem as refusal:
            await websocket.send_denial_response(problem.answer(refusal))
            return
        try:
            await websocket.accept()
            await _run_until_first_ends(_send(websocket, client), _wait_for_close(websocket))
        finally:
            self._subscribers.remove(client)

    def _add_client(self, websocket: WebSocket) -> StreamClient:
        request = Request({**websocket.scope, "type": "http", "method": "GET"})
        parameters = params.read(params.Stream, request)
        series = Series(parameters.exchange, parameters.symbol, parameters.timeframe)
        client = StreamClient(series)
        self._subscribers.add(client)
        return client


async def _send(websocket: WebSocket, client: StreamClient) -> None:
    try:
        while (message := await client.next_message(PATIENCE)) is not None:
            await websocket.send_text(message.decode())
        await websocket.close(_GOING_AWAY)
    except WebSocketDisconnect:
        return


async def _wait_for_close(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _run_until_first_ends(*coroutines: Coroutine[object, object, None]) -> None:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
