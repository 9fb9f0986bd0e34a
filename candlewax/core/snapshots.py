"""Snapshots of steps and sources in a recovery store, as versioned plain data.

They hold numbers, texts, bytes, lists and dictionaries only, so classes and modules can be renamed
and moved. Frames are in Arrow's IPC format.
"""

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, Final

import polars as pl

from candlewax.core.candles.open_candles import OpenCandles
from candlewax.core.gaps.gap_tracker import Detection, Gap, GapTracker
from candlewax.core.gaps.market_connections import Carrier, MarketConnections
from candlewax.core.gaps.market_outages import MarketOutages
from candlewax.core.gaps.numberings import Numberings, Start
from candlewax.core.gaps.outages import OutageTracker
from candlewax.core.gaps.sequence_ranges import SequenceRanges
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.core.trades.unnumbered import KnownIds

VERSION: Final = 1
"""Version of snapshots; others cannot be read."""

Snapshot = dict[str, Any]
"""A version and the state."""


class SnapshotError(ValueError):
    """Error of a snapshot of another version; the text says what to do."""


def save_deduplicator(deduplicator: Deduplicator) -> Snapshot:
    """Return a snapshot of a deduplicator."""
    connections, outages = deduplicator.connections, deduplicator.market_outages
    return {
        "version": VERSION,
        "numbers": {
            series: {
                "first": ranges.first[:],
                "last": ranges.last[:],
                "begin": ranges.begin[:],
                "end": ranges.end[:],
            }
            for series, ranges in deduplicator.ranges_by_series.items()
        },
        "trade_ids": [_to_ipc(chunk) for chunk in deduplicator.ids.chunks],
        "trade_ids_since": deduplicator.ids.since_us,
        "gaps": {
            series: [
                (*key, gap.missing, gap.before, gap.after, *gap.detection)
                for key, gap in gaps.items()
            ]
            for series, gaps in deduplicator.gaps.gaps.items()
        },
        "gaps_ahead": sorted(deduplicator.gaps.symbols_ahead),
        "connections": {
            "alive": dict(connections.alive),
            "down": connections.down_since_us,
            "heard": connections.last_frame_us,
            "pending": [tuple(outage) for outage in connections.pending],
            "known": dict(connections.known_until_us),
        },
        "contradicted": sorted(deduplicator.contradicted_minutes),
        "numberings": {
            symbol: [tuple(start) for start in starts]
            for symbol, starts in deduplicator.numberings.starts.items()
        },
        "latest": dict(deduplicator.numberings.latest),
        "earliest": dict(deduplicator.numberings.earliest),
        "market_outages": {
            "began": dict(outages.began),
            "since": dict(outages.since),
            "unproven": {symbol: spans[:] for symbol, spans in outages.unproven.items()},
            "connected": dict(outages.connected_at),
            "gone": dict(outages.disconnected_at),
        },
        "market_connections": _save_market_connections(deduplicator.market_connections),
    }


def _save_market_connections(connections: MarketConnections) -> Snapshot:
    return {
        "carriers": {
            name: (
                each.process,
                sorted(each.native_symbols),
                each.last_frame_us,
                each.last_trade_us,
            )
            for name, each in connections.carriers.items()
        },
        "lost": dict(connections.lost_since_us),
        "known": [(*key, at_us) for key, at_us in connections.known_until_us.items()],
    }


def _load_market_connections(saved: Snapshot | None) -> MarketConnections:
    """Return the connections of a snapshot; none of one that was written before there were any."""
    if saved is None:
        return MarketConnections()
    carriers = {
        name: Carrier(process, set(native_symbols), *times)
        for name, (process, native_symbols, *times) in saved["carriers"].items()
    }
    known_until_us = {(name, process): at_us for name, process, at_us in saved["known"]}
    return MarketConnections(carriers, saved["lost"], known_until_us)


def load_deduplicator(snapshot: Snapshot) -> Deduplicator:
    """Return the deduplicator of a snapshot. Raises SnapshotError."""
    saved = _require_version(snapshot)
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
    deduplicator = Deduplicator(
        {series: SequenceRanges(**ranges) for series, ranges in saved["numbers"].items()},
        KnownIds(
            [_from_ipc(chunk) for chunk in saved["trade_ids"]], saved.get("trade_ids_since", 0)
        ),
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
        _load_market_connections(saved.get("market_connections")),
    )
    deduplicator.discard_changes()
    return deduplicator


def save_open_candles(open_candles: OpenCandles) -> Snapshot:
    """Return a snapshot of the open candles of an exchange."""
    return {
        "version": VERSION,
        "candles": _to_ipc(open_candles.candles),
        "watermark": open_candles.watermark,
        "outages": _to_ipc(open_candles.outages),
        "ended": _to_ipc(open_candles.feed_ends),
    }


def load_open_candles(snapshot: Snapshot) -> OpenCandles:
    """Return the open candles of a snapshot. Raises SnapshotError."""
    saved = _require_version(snapshot)
    return OpenCandles(
        _from_ipc(saved["candles"]),
        saved["watermark"],
        _from_ipc(saved["outages"]),
        _from_ipc(saved["ended"]),
    )


def save_positions(positions: Mapping[str, tuple[int, int, int]]) -> Snapshot:
    """Return a snapshot of the position in each log: its path, and byte, line and latest time."""
    return {
        "version": VERSION,
        "logs": {path: tuple(position) for path, position in positions.items()},
    }


def load_positions(snapshot: Snapshot) -> dict[str, tuple[int, int, int]]:
    """Return the positions of a snapshot. Raises SnapshotError."""
    return dict(_require_version(snapshot)["logs"])


def check_snapshot(data: bytes) -> None:
    """Raise SnapshotError unless a pickled snapshot has this version.

    Positions in topics are single numbers, and sources without state save None.
    """
    try:
        saved = _PlainUnpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, AttributeError, EOFError, IndexError) as error:
        raise SnapshotError(_OTHER_VERSION) from error
    if not isinstance(saved, int | None):
        _require_version(saved)


class _PlainUnpickler(pickle.Unpickler):
    """Unpickler of plain data that refuses classes."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        raise pickle.UnpicklingError(f"{module}.{name}")


_OTHER_VERSION: Final = (
    "the recovery store was written by another version of Candlewax; delete it and start with an "
    "empty one: rows that are in the tables are not stored again"
)


def _require_version(snapshot: object) -> Snapshot:
    if not isinstance(snapshot, dict) or snapshot.get("version") != VERSION:
        raise SnapshotError(_OTHER_VERSION)
    return snapshot


def _to_ipc(frame: pl.DataFrame) -> bytes:
    return frame.write_ipc(None).getvalue()


def _from_ipc(data: bytes) -> pl.DataFrame:
    return pl.read_ipc(data)
