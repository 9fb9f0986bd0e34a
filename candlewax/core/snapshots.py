"""Snapshots: what a recovery store keeps of a step or a source, as versioned plain data.

Numbers, texts, bytes, lists and dictionaries only: classes and modules can be renamed and moved
without a store noticing. Frames are kept in the IPC format of Arrow.
"""

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, Final

import polars as pl

from candlewax.core.candles.open_candles import OpenCandles
from candlewax.core.gaps.gap_tracker import Detection, Gap, GapTracker
from candlewax.core.gaps.market_outages import MarketOutages
from candlewax.core.gaps.numberings import Numberings, Start
from candlewax.core.gaps.outages import OutageTracker
from candlewax.core.gaps.sequence_ranges import SequenceRanges
from candlewax.core.trades.deduplicator import Deduplicator

VERSION: Final = 1
"""The form of snapshots; another one cannot be read."""

Snapshot = dict[str, Any]
"""A version and what belongs to it."""


class SnapshotError(ValueError):
    """A snapshot was written in another form; the text says what to do."""


def save_deduplicator(ledger: Deduplicator) -> Snapshot:
    """Return what has been seen of an exchange, as it is now."""
    connections, outages = ledger.connections, ledger.market_outages
    return {
        "version": VERSION,
        "numbers": {
            series: {
                "first": ranges.first[:],
                "last": ranges.last[:],
                "begin": ranges.begin[:],
                "end": ranges.end[:],
            }
            for series, ranges in ledger.numbered.items()
        },
        "trade_ids": [_packed(chunk) for chunk in ledger.unnumbered],
        "gaps": {
            series: [
                (*key, gap.missing, gap.before, gap.after, *gap.detection)
                for key, gap in gaps.items()
            ]
            for series, gaps in ledger.gaps.gaps.items()
        },
        "gaps_ahead": sorted(ledger.gaps.symbols_ahead),
        "connections": {
            "alive": dict(connections.alive),
            "down": connections.down_since_us,
            "heard": connections.last_frame_us,
            "pending": [tuple(outage) for outage in connections.pending],
            "known": dict(connections.known_until_us),
        },
        "contradicted": sorted(ledger.contradicted),
        "numberings": {
            symbol: [tuple(start) for start in starts]
            for symbol, starts in ledger.numberings.starts.items()
        },
        "latest": dict(ledger.numberings.latest),
        "earliest": dict(ledger.numberings.earliest),
        "market_outages": {
            "began": dict(outages.began),
            "since": dict(outages.since),
            "unproven": {symbol: spans[:] for symbol, spans in outages.unproven.items()},
            "connected": dict(outages.connected_at),
            "gone": dict(outages.disconnected_at),
        },
    }


def load_deduplicator(snapshot: Snapshot) -> Deduplicator:
    """Return the ledger of a snapshot. Raises SnapshotError."""
    saved = _current(snapshot)
    gaps = {
        series: {
            (first, last): Gap(missing, before, after, Detection(*shown))
            for first, last, missing, before, after, *shown in rows
        }
        for series, rows in saved["gaps"].items()
    }
    starts = {
        symbol: [Start(*start) for start in starts]
        for symbol, starts in saved["numberings"].items()
    }
    ledger = Deduplicator(
        {series: SequenceRanges(**ranges) for series, ranges in saved["numbers"].items()},
        [_unpacked(chunk) for chunk in saved["trade_ids"]],
        GapTracker(gaps, set(saved["gaps_ahead"])),
        OutageTracker(
            saved["connections"]["alive"],
            saved["connections"]["down"],
            saved["connections"]["heard"],
            saved["connections"]["pending"],
            saved["connections"]["known"],
        ),
        set(saved["contradicted"]),
        Numberings(starts, saved["latest"], saved["earliest"]),
        MarketOutages(
            saved["market_outages"]["began"],
            saved["market_outages"]["since"],
            saved["market_outages"]["unproven"],
            saved["market_outages"]["connected"],
            saved["market_outages"]["gone"],
        ),
    )
    ledger.begin()
    return ledger


def save_open_candles(book: OpenCandles) -> Snapshot:
    """Return the candles of an exchange that can still change, as they are now."""
    return {
        "version": VERSION,
        "candles": _packed(book.candles),
        "watermark": book.watermark,
        "outages": _packed(book.outages),
        "ended": _packed(book.feed_ends),
    }


def load_open_candles(snapshot: Snapshot) -> OpenCandles:
    """Return the book of a snapshot. Raises SnapshotError."""
    saved = _current(snapshot)
    return OpenCandles(
        _unpacked(saved["candles"]),
        saved["watermark"],
        _unpacked(saved["outages"]),
        _unpacked(saved["ended"]),
    )


def save_positions(positions: Mapping[str, tuple[int, int, int]]) -> Snapshot:
    """Return how far each log has been read: its path, and byte, line and latest time."""
    return {"version": VERSION, "logs": {path: tuple(at) for path, at in positions.items()}}


def load_positions(snapshot: Snapshot) -> dict[str, tuple[int, int, int]]:
    """Return what `save_positions` was given. Raises SnapshotError."""
    return dict(_current(snapshot)["logs"])


def check(data: bytes) -> None:
    """Check that a pickled snapshot is one of this version. Raises SnapshotError.

    Positions in topics are single numbers, and sources that remember nothing save None.
    """
    try:
        saved = _PlainUnpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, AttributeError, EOFError, IndexError) as error:
        raise SnapshotError(_OTHER) from error
    if not isinstance(saved, int | None):
        _current(saved)


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain data, and no class."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        raise pickle.UnpicklingError(f"{module}.{name}")


_OTHER: Final = (
    "the recovery store was written by another version of Candlewax; delete it and begin an empty "
    "one, what is stored in the tables is not stored again"
)


def _current(snapshot: object) -> Snapshot:
    if not isinstance(snapshot, dict) or snapshot.get("version") != VERSION:
        raise SnapshotError(_OTHER)
    return snapshot


def _packed(frame: pl.DataFrame) -> bytes:
    return frame.write_ipc(None).getvalue()


def _unpacked(data: bytes) -> pl.DataFrame:
    return pl.read_ipc(data)
