"""Options of `candlewax up`: of its page, of playing a recording, and of filling a live feed."""

import argparse
from datetime import datetime, timedelta
from typing import Final

from candlewax.cli import serve_options
from candlewax.runtime.setting_parsers import parse_fill
from candlewax.runtime.times import parse_time_or_utc

SAMPLE_PACE: Final = 20.0
"""Seconds of the sample played in one second: a one-minute candle takes 3 s."""


def add(command: argparse.ArgumentParser) -> None:
    """Add the options to the command's parser."""
    serve_options.add(command)
    command.add_argument(
        "--pace",
        type=_parse_pace,
        help=f"seconds of a recording in one second (the sample: {SAMPLE_PACE:g}, others: 1)",
    )
    command.add_argument(
        "--begin",
        type=_parse_time,
        help="time in a recording up to which all comes at once, as 2026-09-15T00:30Z",
    )
    command.add_argument(
        "--keep",
        action="store_true",
        help="store a recording in CANDLEWAX_CLICKHOUSE, not in a directory that is removed",
    )
    command.add_argument(
        "--fill",
        type=_parse_fill,
        help="span before the start whose trades are asked for by REST, with a live feed: 24h, 2d "
        "(CANDLEWAX_FILL)",
    )


def _parse_pace(text: str) -> float:
    try:
        pace = float(text)
    except ValueError:
        pace = 0.0
    if not 0.01 <= pace <= 100_000:
        raise argparse.ArgumentTypeError(f"takes a number from 0.01 to 100000, got {text!r}")
    return pace


def _parse_fill(text: str) -> timedelta:
    try:
        return parse_fill(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"takes {error}, got {text!r}") from None


def _parse_time(text: str) -> datetime:
    try:
        return parse_time_or_utc(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
