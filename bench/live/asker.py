"""Asks an API for candles as its users do: `python -m bench.live.asker PORT COUNT`.

One connection, kept; a pause after each answer. Prints, as JSON, the milliseconds of each
request by what was asked for.
"""

import json
import random
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Final
from urllib.parse import urlencode

from bench.live import stored
from candlewax.core.candles.combine import TIMEFRAMES

PAUSE: Final = 0.02
"""Seconds between an answer and the next request."""

NOTHING: Final = "nothing"
"""What is asked for beside candles."""

_BACK: Final = 4
"""Pages that someone scrolls back."""


def addresses(chance: random.Random) -> Iterator[tuple[str, str]]:
    """What is asked for, and its address; of a series by chance, at a time by chance."""
    while True:
        timeframe = chance.choice(list(TIMEFRAMES))
        series = {"exchange": stored.EXCHANGE, "symbol": chance.choice(stored.SYMBOLS)}
        step = TIMEFRAMES[timeframe][1] // 1_000_000
        inside = stored.BEGIN + step * chance.randrange(1_000, stored.EACH[timeframe] + 1)
        path = f"/api/v1/ohlcv/{timeframe}?{urlencode(series)}"
        yield "newest", path
        yield "older", f"{path}&to={inside}"
        yield "from a time", f"{path}&from={inside - 1_000 * step}"
        yield "csv", f"{path}&to={inside}&format=csv"
        yield "parquet", f"{path}&to={inside}&format=parquet"
        yield "arrow", f"{path}&to={inside}&format=arrow"
        yield "back", path
        # What an answer costs that takes no work, there and then.
        yield NOTHING, "/api/v1"


def main(port: int, count: int) -> None:
    """Ask so many times."""
    connection = HTTPConnection("127.0.0.1", port)
    taken: dict[str, list[float]] = {}

    def ask(what: str, address: str) -> bytes:
        time.sleep(PAUSE)
        began = time.perf_counter()
        connection.request("GET", address)
        answer = connection.getresponse()
        body = answer.read()
        taken.setdefault(what, []).append(round((time.perf_counter() - began) * 1000, 3))
        if answer.status != 200:
            raise RuntimeError(body.decode())
        return body

    for what, address in addresses(random.Random(1)):  # noqa: S311 - it must repeat itself
        if sum(map(len, taken.values())) >= count:
            break
        body = ask(what, address)
        link = json.loads(body)["next"] if what == "back" else None
        for _ in range(_BACK):
            # Who scrolls follows the links.
            link = link and json.loads(ask("back", link))["next"]
    print(json.dumps(taken))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
