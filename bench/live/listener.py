"""Count of frames with the websocket library alone: `python -m bench.live.listener URL COUNT`."""

import asyncio
import json
import sys
import time

from websockets.asyncio.client import connect


async def main(url: str, count: int) -> None:
    """Count frames, and print how long they took from the first one on."""
    async with connect(url, compression=None, max_queue=None) as socket:
        await socket.recv(decode=False)
        began_at, began_cpu = time.monotonic(), time.process_time()
        for _ in range(count - 1):
            (await socket.recv(decode=False)).decode()
        result = {
            "count": count,
            "seconds": round(time.monotonic() - began_at, 2),
            "cpu": round(time.process_time() - began_cpu, 2),
        }
        print(json.dumps(result), flush=True)
        await asyncio.sleep(60)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
