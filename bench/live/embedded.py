"""The whole pipeline in this process, and a thread that asks it for candles.

`python -m bench.live.embedded POLLS SECONDS [OPTION ...]`: the main thread does what
`python -m bytewax.run dataflows.ohlcv OPTION ...` does, in the same way; a directory
belongs to one process, so whoever asks is a thread of it, with a connection of its own.
After so many seconds the process stops itself as an operator would. Without POLLS
nothing is asked.
"""

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

from bench.live.polls import QUESTION, Poller
from bench.live.processes import wait
from candlewax import settings
from candlewax.connectors.clickhouse import connect


def _ask(path: str, seconds: float) -> None:
    # The board begins when the tables are there.
    wait(lambda: any(thread.name == "board" for thread in threading.enumerate()), most=600)
    if not path:
        time.sleep(seconds)
    else:
        _poll(path, seconds)
    os.kill(os.getpid(), signal.SIGTERM)


def _poll(path: str, seconds: float) -> None:
    chosen = settings.load()
    database = connect(chosen.clickhouse, chosen.database)
    poller = Poller(lambda: database.client.raw_query(QUESTION, fmt="TabSeparated"))
    threading.Timer(seconds, poller.stop).start()
    poller.run()
    poller.polls.write(Path(path))
    database.close()


def main(path: str, seconds: float, options: list[str]) -> None:
    """Run the dataflow until the time is over."""
    threading.Thread(target=_ask, args=(path, seconds), daemon=True).start()
    sys.argv = ["bytewax.run", "dataflows.ohlcv", *options]
    runpy.run_module("bytewax.run", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
