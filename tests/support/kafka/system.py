"""The dataflows as processes, over a broker and a ClickHouse server."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from bytewax.recovery import init_db_dir
from confluent_kafka import Message

from candlewax.clickhouse.client import open_tables
from candlewax.core import frame_log
from candlewax.runtime.setting_parsers import Server
from candlewax.verification.verify import check_totals, verify
from tests.support import oracle, playing, stored
from tests.support.kafka import reading
from tests.support.oracle import Fill
from tests.support.playing import EPOCH_ZERO, Frame
from tests.support.ports import free_port
from tests.support.processes import ROOT, environment

RAW = "market.crypto.trades.{}.raw"
NORMALIZED = "market.crypto.trades.normalized"
SYMBOLS = {"BTCUSDT": "BTC/USDT", "ETHUSDT": "ETH/USDT", "XBT/USD": "BTC/USD"}


class Process:
    """A dataflow that runs."""

    def __init__(
        self,
        command: Sequence[str],
        env: dict[str, str],
        errors: Path,
        output: Path = Path(os.devnull),
    ) -> None:
        self._errors = errors
        self._before = errors.stat().st_size if errors.exists() else 0
        with errors.open("ab") as err, output.open("ab") as out:
            self._process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=err)

    def said(self) -> str:
        """What stands on its standard error, and on that of its lives before."""
        return self._errors.read_text()

    def said_now(self) -> str:
        """What stands there of this life."""
        return self._errors.read_bytes()[self._before :].decode()

    def ended(self) -> int | None:
        """Its status, if it has ended."""
        return self._process.poll()

    def wait(self) -> int:
        return self._process.wait(timeout=120)

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; its status."""
        self.tell(number)
        return self.wait()


class System:
    """A database of a server, a broker, and what runs between."""

    def __init__(self, folder: Path, servers: str, dsn: str, database: str) -> None:
        self._folder = folder
        self._name = database
        self._running: list[Process] = []
        self.servers = servers
        self.settings = {
            "CANDLEWAX_BROKERS": servers,
            "CANDLEWAX_CLICKHOUSE": dsn,
            "CANDLEWAX_DATABASE": database,
            "no_proxy": "*",
        }
        self.tables = open_tables(Server(dsn), database)

    def start(self, flow: str, *options: str, name: str = "", **settings: str) -> Process:
        """Start a dataflow, by the name of its module if that is none of ours; `name` tells
        its lives from those of others.
        """
        module = flow if "." in flow else f"dataflows.{flow}"
        command = [sys.executable, "-m", "bytewax.run", module, *options]
        env = environment(self._folder, **{**self.settings, **settings})
        process = Process(command, env, self._folder / f"{name or flow}.err")
        self._running.append(process)
        return process

    def run(self, command: Sequence[str], name: str) -> Process:
        """Start another program; what it says stands in `output`."""
        process = Process(command, environment(self._folder), self._folder / f"{name}.err",
                          self._folder / f"{name}.out")  # fmt: skip
        self._running.append(process)
        return process

    def output(self, name: str) -> bytes:
        """What a program printed so far."""
        return (self._folder / f"{name}.out").read_bytes()

    def durable(self, flow: str, name: str = "", **settings: str) -> Process:
        """Start a dataflow that remembers its lives of the same name."""
        return self.start(flow, *self.memory(name or flow), name=name, **settings)

    def memory(self, name: str) -> tuple[str, ...]:
        """The options of a recovery store."""
        store = self.store(name)
        if not store.exists():
            store.mkdir()
            init_db_dir(store, 1)
        return ("-r", str(store), "-s", "1", "-b", "0")

    def store(self, name: str) -> Path:
        """Where a recovery store is."""
        return self._folder / f"{name}.recovery"

    def cluster(self, flow: str, *options: str, **settings: str) -> list[Process]:
        """Start a dataflow as a cluster of two processes."""
        addresses = ";".join(f"127.0.0.1:{free_port()}" for _ in range(2))
        return [
            self.start(
                flow, "-i", str(n), "-a", addresses, *options, name=f"{flow}-{n}", **settings
            )
            for n in range(2)
        ]

    def end(self) -> None:
        """Kill what still runs, and let go of the tables."""
        self._kill()
        self.tables.close()

    def forget(self) -> None:
        """The same, and remove the tables: each database of a server makes the next dearer."""
        self._kill()
        self.tables.client.command("DROP DATABASE {name:Identifier} SYNC", {"name": self._name})
        self.tables.close()

    def _kill(self) -> None:
        for process in self._running:
            if process.ended() is None:
                process.end(signal.SIGKILL)

    def stored(self) -> tuple[int, int]:
        """How many trades silver holds, and how many the candles."""
        sql = """
        SELECT (SELECT count() FROM silver_trades FINAL),
            (SELECT sum(trade_count) FROM ohlcv FINAL WHERE timeframe = '1m')
        """
        return self.tables.query(sql).row(0)

    def catch_up(self, *running: Process) -> list[Fill]:
        """Wait until all that the raw topics hold is stored; what they hold."""
        fills = raw_fills(self.servers)
        distinct = oracle.distinct(fills)
        wanted = len(distinct), sum(not fill.conditions for fill in distinct)
        stored = 0, 0

        def done() -> bool:
            nonlocal stored
            for process in running:
                assert process.ended() is None, process.said()
            stored = self.stored()
            return stored == wanted

        try:
            reading.until(done, seconds=90, pause=0.2)
        except AssertionError as error:
            said = "\n\n".join(process.said() for process in running)
            raise AssertionError(f"{stored}, not {wanted}\n{said}") from error
        return fills

    def check(self, fills: Sequence[Fill], *, sent: bool = True) -> None:
        """The tables hold exactly these trades and their candles, and add up; and the
        trades were sent on, or not.
        """
        assert stored.silver(self.tables) == stored.expected_silver(fills)
        assert stored.gold(self.tables) == stored.expected_gold(fills)
        assert check_totals(self.tables.client) == []
        found = verify(self.tables.client)
        assert found.equal, found
        sql = "SELECT exchange, count() FROM bronze_frames FINAL GROUP BY exchange"
        frames = dict(self.tables.query(sql).rows())
        for exchange, count in frames.items():
            ends = reading.ends(self.servers, RAW.format(exchange))
            assert count == sum(end - begin for begin, end in ends)
        said = [json.loads(m.value() or b"") for m in reading.read_all(self.servers, NORMALIZED)]
        identities = {(one["exchange"], one["symbol"], one["trade_id"]) for one in said}
        assert identities == ({fill.identity for fill in fills} if sent else set())


def raw_fills(servers: str) -> list[Fill]:
    """The trades that the raw topics hold, read without the program under test."""
    return [
        fill
        for exchange, read in (("binance", _binance), ("kraken", _kraken))
        if RAW.format(exchange) in reading.topics(servers)
        for message in reading.read_all(servers, RAW.format(exchange))
        for fill in read(message, _json(message))
    ]


def _json(message: Message) -> Any:
    try:
        return json.loads(message.value() or b"")
    except ValueError:
        return None


def _binance(message: Message, frame: Any) -> list[Fill]:
    data = frame.get("data", {}) if isinstance(frame, dict) else {}
    if "t" not in data:
        return []
    fill = Fill(
        "binance", SYMBOLS[data["s"]], str(data["t"]), data["t"], data["T"] * 1000, not data["m"],
        Decimal(data["p"]), Decimal(data["q"]), (), message.offset() or 0,
    )  # fmt: skip
    return [fill]


def _kraken(message: Message, frame: Any) -> list[Fill]:
    fills: list[Fill] = []
    ids: list[str] = []
    for price, size, time, side, *rest in frame[1] if isinstance(frame, list) else []:
        name = "_".join((time, price, size, side, *rest))
        again = ids.count(name)
        ids.append(name)
        fill = Fill(
            "kraken", SYMBOLS[frame[3]], f"{name}#{again}" if again else name, 0,
            int(Decimal(time) * 10**6), side == "b", Decimal(price), Decimal(size), (),
            message.offset() or 0, len(fills),
        )  # fmt: skip
        fills.append(fill)
    return fills


def market(count: int, seed: int, begin: int = 0) -> list[Frame]:
    """Frames of two exchanges: ties, late trades, repeats, and what is no trade."""
    chance = random.Random(seed)
    time = EPOCH_ZERO + begin * 100_000
    frames: list[Frame] = []
    for seq in range(begin, begin + count):
        time += chance.choice([0, 1_000, 250_000, 250_000, 30_000_000])
        late = chance.choice([0, 0, 0, 0, 2_000_000, 2_000_000_000])
        amounts = Decimal(chance.randint(1, 10**7)) / 100, Decimal(chance.randint(1, 10**6)) / 10**4
        kind = chance.random()
        if kind < 0.05 and frames:
            frames.append(replace(chance.choice(frames), seq=seq, recv_us=time))
        elif kind < 0.07:
            text = chance.choice(['{"result":null,"id":1}', "garbage", '{"data":{"e":"trade"}}'])
            frames.append(Frame("binance", "b0", seq, time, text, ()))
        elif kind < 0.6:
            symbol = chance.choice(["BTC/USDT", "ETH/USDT"])
            fill = Fill("binance", symbol, str(seq + 1), seq + 1, time - late,
                        chance.random() < 0.5, *amounts)  # fmt: skip
            frames.append(playing.binance(seq, time, fill, chance.choice(["b0", "b1"])))
        else:
            fill = Fill("kraken", "BTC/USD", "", 0, time - late, chance.random() < 0.5, *amounts)
            frames.append(playing.kraken_v1(seq, time, [fill] * chance.choice([1, 1, 2])))
    return frames


def record(path: Path, frames: Sequence[Frame]) -> Path:
    """Write frames as a log."""
    lines = [
        frame_log.format_line(f.recv_us * 1000, f.exchange, f.connection, f.seq, f.text)
        for f in frames
    ]
    path.write_text("".join(lines))
    return path


def send(servers: str, frames: Sequence[Frame]) -> None:
    """Put frames into the raw topics, as another program would: without headers."""
    latest = max(frame.recv_us for frame in frames) // 1000
    for exchange in ("binance", "kraken"):
        texts = [frame.text.encode() for frame in frames if frame.exchange == exchange]
        reading.put(servers, RAW.format(exchange), texts, b"other", 0, [], latest)
