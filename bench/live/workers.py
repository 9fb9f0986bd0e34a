"""Processor time of one exchange in shards, read by one process and by several.

`ingest` puts a backlog into the raw topic, in four shards. Then 1, 2 and 4 independent processes of
`tables` read it, each with its own shards. The database and the broker are counted beside them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.live import made
from bench.live.chain import wait_until_stored
from bench.live.processes import Meter, Piece, Result, Stage
from candlewax.core.shards import Shard, connection_name, shard_index

SHARDS: Final = 4
PROCESSES: Final = (1, 2, 4)

_EXCHANGE: Final = "binance"


def run(count: int) -> Iterator[Result]:
    """Measure each number of processes over the same backlog."""
    with Stage() as stage:
        stage.broker()
        stage.front()
        stage.settings["CANDLEWAX_EXCHANGES"] = _EXCHANGE
        stage.settings["CANDLEWAX_SHARDS"] = f"{_EXCHANGE}={SHARDS}"
        log = _write(stage.folder / "recording.tsv", count)
        ingest = stage.flow("ingest", "ingest", CANDLEWAX_FEED=str(log))
        ingest.wait_for_end()
        stage.end(ingest)
        first = 0.0
        for processes in PROCESSES:
            result = _measure(stage, count, processes)
            first = first or result["per_million_s"]
            yield {**result, "ratio": round(result["per_million_s"] / first, 3)}


def _write(path: Path, count: int) -> Path:
    """Write a frame log with one connection for each shard."""
    names = [connection_name(_EXCHANGE, Shard(index, SHARDS), 0) for index in range(SHARDS)]
    connections = {
        f'"{name.lower()}usdt@trade"': names[shard_index(f"{name}/USDT", SHARDS)]
        for name in made.NAMES
    }
    seqs = dict.fromkeys(names, 0)
    with path.open("w", encoding="utf-8") as file:
        for recv_ns, exchange, frame in made.frames(count, [_EXCHANGE]):
            connection = connections[frame[len('{"stream":') : frame.index(",")]]
            file.write(f"{recv_ns}\t{exchange}\t{connection}\t{seqs[connection]}\t{frame}\n")
            seqs[connection] += 1
    return path


def _start(stage: Stage, processes: int) -> list[Piece]:
    pieces = []
    for place in range(processes):
        own = ",".join(f"{_EXCHANGE}/{index}" for index in range(place, SHARDS, processes))
        name = f"tables-{processes}-{place}"
        recovery = stage.recovery(name)
        pieces.append(stage.flow(name, "tables", *recovery, CANDLEWAX_EXCHANGES=own))
    return pieces


def _measure(stage: Stage, count: int, processes: int) -> Result:
    """Return the processor time of the processes, from their start and from when they read."""
    database = f"workers_{processes}"
    stage.settings["CANDLEWAX_DATABASE"] = database
    pieces = _start(stage, processes)
    for piece in pieces:
        piece.wait_for_output("tables: ")
    started = sum(piece.cpu() for piece in pieces)
    meter = Meter(stage.running)
    used = wait_until_stored(stage.front_port, database, count, pieces, meter)
    own = sum(used["cpu"][piece.name] for piece in pieces)
    stage.end(*pieces)
    return {
        "part": "workers",
        "what": f"{processes} of tables",
        "frames": count,
        "per_million_s": round(own * 1e6 / count, 2),
        "start_s": round(started, 2),
        **used,
    }
