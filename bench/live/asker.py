"""Client of the API that requests candles as users do: `python -m bench.live.asker PORT COUNT`.

Uses one connection, with a pause after each answer. Prints, as JSON, the milliseconds of each
request by kind.
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

EMPTY: Final = "nothing"
"""Kind of the requests that need no candles."""

_BACK: Final = 4
"""Pages of one scroll into the past."""


def addresses(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Yield kind and address of requests for random series and times."""
    while True:
        timeframe = rng.choice(list(TIMEFRAMES))
        series = {"exchange": stored.EXCHANGE, "symbol": rng.choice(stored.SYMBOLS)}
        step = TIMEFRAMES[timeframe][1] // 1_000_000
        inside = stored.BEGIN + step * rng.randrange(1_000, stored.EACH[timeframe] + 1)
        klines = {"symbol": series["symbol"], "interval": timeframe, "limit": 1_000}
        path = f"/api/v1/ohlcv/{timeframe}?{urlencode(series)}"
        yield "newest", path
        yield "older", f"{path}&to={inside}"
        yield "from a time", f"{path}&from={inside - 1_000 * step}"
        yield "csv", f"{path}&to={inside}&format=csv"
        yield "parquet", f"{path}&to={inside}&format=parquet"
        yield "arrow", f"{path}&to={inside}&format=arrow"
        yield "klines", f"/{stored.EXCHANGE}/api/v3/klines?{urlencode(klines)}"
        yield "closed", f"{path}&closed=true"
        yield "back", path
        # The cost of an answer without work, at the same moment.
        yield EMPTY, "/api/v1"


def main(port: int, count: int) -> None:
    """Send `count` requests."""
    connection = HTTPConnection("127.0.0.1", port)
    times_by_kind: dict[str, list[float]] = {}

    def ask(kind: str, address: str) -> bytes:
        time.sleep(PAUSE)
        began_at = time.perf_counter()
        connection.request("GET", address)
        answer = connection.getresponse()
        body = answer.read()
        times_by_kind.setdefault(kind, []).append(round((time.perf_counter() - began_at) * 1000, 3))
        if answer.status != 200:
            raise RuntimeError(body.decode())
        return body

    for kind, address in addresses(random.Random(1)):  # noqa: S311 - the same in every run
        if sum(map(len, times_by_kind.values())) >= count:
            break
        body = ask(kind, address)
        link = json.loads(body)["next"] if kind == "back" else None
        for _ in range(_BACK):
            # Scrolling follows the links to the next page.
            link = link and json.loads(ask("back", link))["next"]
    print(json.dumps(times_by_kind))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
