"""The HTTP server's socket."""

import asyncio
import socket

from candlewax.web.server import listen


def test_nothing_that_is_sent_waits_for_an_acknowledgement() -> None:
    """Nagle's algorithm is off on what the server's loop accepts from it."""
    found: list[int] = []

    async def accept() -> None:
        met = asyncio.Event()

        def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            found.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()
            met.set()

        opened = listen("127.0.0.1", 0)
        async with await asyncio.start_server(meet, sock=opened):
            _, writer = await asyncio.open_connection(*opened.getsockname())
            await met.wait()
            writer.close()

    asyncio.run(accept())
    assert found[0] != 0
