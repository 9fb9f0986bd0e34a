"""The HTTP server's socket."""

import asyncio
import socket

from candlewax.web.server import listen


def test_accepted_sockets_send_without_nagles_delay() -> None:
    """TCP_NODELAY is set on each connection that the server's loop accepts."""
    no_delay: list[int] = []

    async def accept() -> None:
        was_accepted = asyncio.Event()

        def on_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            no_delay.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()
            was_accepted.set()

        opened = listen("127.0.0.1", 0)
        async with await asyncio.start_server(on_connection, sock=opened):
            _, writer = await asyncio.open_connection(*opened.getsockname())
            await was_accepted.wait()
            writer.close()

    asyncio.run(accept())
    assert no_delay[0] != 0
