"""Real recorded frames, where they are at hand: `../shared/data` beside the
repository. They are not part of it.
"""

import gzip
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from candlewax.core import frame_log

DATA = Path(__file__).parents[3] / "shared" / "data"

needed = pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings at {DATA}")


def lines(path: Path) -> Iterator[str]:
    """The lines of a recording, packed or not."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    yield from text.decode().splitlines()


def binance(name: str) -> list[tuple[int, str]]:
    """Receive time in nanoseconds, and frame, of a recording of Binance."""
    found = []
    for line in lines(DATA / "binance_ws" / name):
        stamp, frame = line.split(" ", 1)
        found.append((int(stamp) * (1 if len(stamp) == 19 else 1000), frame))
    return found


def session(name: str) -> list[tuple[int, str]]:
    """The same of a recorded session; what the client sent is left out."""
    found = []
    for line in lines(DATA / "cryptofeed" / name):
        stamp, colon, frame = line.partition(": ")
        if colon and stamp.replace(".", "").isdigit():
            found.append((int(Decimal(stamp) * 10**9), frame))
    return found


def log(path: Path, exchange: str, frames: list[tuple[int, str]], connection: str) -> Path:
    """Write frames as a frame log."""
    text = "".join(
        frame_log.format_line(recv_ns, exchange, connection, seq, frame)
        for seq, (recv_ns, frame) in enumerate(frames)
    )
    path.write_text(text, encoding="utf-8")
    return path
