"""Settings of the log: its level, and lines as text or JSON, with times in UTC."""

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_FORMATS: Final = ("text", "json")


@dataclass(frozen=True)
class LogSettings:
    """Least level of the lines that are logged, and whether each is an object of JSON."""

    level: int = logging.INFO
    is_json: bool = False


def parse_log_level(text: str) -> int:
    """Return the number of a level by its name. Raises ValueError."""
    if text.lower() not in _LEVELS:
        raise ValueError(f"one of {', '.join(_LEVELS)}")
    return _LEVELS[text.lower()]


def parse_log_format(text: str) -> bool:
    """Return True for JSON, False for text. Raises ValueError."""
    if text not in _FORMATS:
        raise ValueError(" or ".join(_FORMATS))
    return text == "json"


def apply_log_settings(settings: LogSettings) -> None:
    """Write the lines of the log as the settings say, from now on.

    Libraries log nothing below `info`. With `python -X dev` our own lines are those of `debug`.
    """
    root = logging.getLogger()
    root.setLevel(max(settings.level, logging.INFO))
    own_level = logging.DEBUG if sys.flags.dev_mode else settings.level
    logging.getLogger("candlewax").setLevel(own_level)
    for handler in root.handlers:
        handler.setFormatter(JsonFormatter() if settings.is_json else LineFormatter())


class LineFormatter(logging.Formatter):
    """Lines with date, time to the millisecond, zone, level and message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def formatTime(  # noqa: N802 - a name of the library
        self,
        record: logging.LogRecord,
        datefmt: str | None = None,  # noqa: ARG002 - the library passes it
    ) -> str:
        """Return the time of a record, as 2026-09-15T12:00:00.123Z."""
        return _format_time(record)


class JsonFormatter(logging.Formatter):
    """Lines that are objects of JSON: time, level, logger, message, and the stack of an error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object of a record, in one line."""
        fields = {
            "time": _format_time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def _format_time(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
