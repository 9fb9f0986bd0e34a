"""Lines of the log by settings."""

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from candlewax.runtime.log_settings import JsonFormatter, LineFormatter, LogSettings
from candlewax.runtime.settings import SettingsError, load

TIME = datetime(2026, 9, 15, 12, 0, 7, 45_999, UTC)


def read(**settings: str) -> LogSettings:
    return load(
        {f"CANDLEWAX_{name}": text for name, text in settings.items()}, Path("no such file")
    ).log


def record(message: str, *arguments: object, error: BaseException | None = None) -> tuple[str, str]:
    """Return the lines of a record in JSON and as text."""
    made = logging.LogRecord(
        "candlewax.x", logging.WARNING, "x.py", 1, message, arguments,
        (type(error), error, None) if error else None,
    )  # fmt: skip
    made.created = (TIME - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)
    return JsonFormatter().format(made), LineFormatter().format(made)


def test_line_has_date_zone_and_level() -> None:
    """Times are UTC whatever the zone of the machine is."""
    _, line = record("%s frames", 3)
    assert line == "2026-09-15T12:00:07.045Z WARNING 3 frames"


def test_line_of_json_is_one_object() -> None:
    """Also with line breaks and with a stack."""
    text, _ = record('two\n"lines" é', error=ValueError("wrong"))
    assert "\n" not in text
    assert json.loads(text) == {
        "time": "2026-09-15T12:00:07.045Z",
        "level": "WARNING",
        "logger": "candlewax.x",
        "message": 'two\n"lines" é',
        "exception": "ValueError: wrong",
    }


def test_level_and_format_are_settings() -> None:
    """By default text from info on."""
    assert read() == LogSettings(logging.INFO, is_json=False)
    assert read(LOG_LEVEL="Warning", LOG_FORMAT="json") == LogSettings(
        logging.WARNING, is_json=True
    )


@pytest.mark.parametrize(
    ("name", "text", "takes"),
    [
        ("LOG_LEVEL", "verbose", "one of debug, info, warning, error"),
        ("LOG_LEVEL", "10", "one of debug, info, warning, error"),
        ("LOG_FORMAT", "logfmt", "text or json"),
    ],
)
def test_wrong_setting_is_named(name: str, text: str, takes: str) -> None:
    """With what it takes."""
    with pytest.raises(SettingsError) as caught:
        read(**{name: text})
    assert str(caught.value) == f"CANDLEWAX_{name}: got {text!r}, takes {takes}"


PROGRAM = """
import logging, sys
from candlewax.runtime.errors import configure_logging
from candlewax.runtime.log_settings import LogSettings, apply_log_settings
configure_logging()
apply_log_settings(LogSettings(getattr(logging, sys.argv[1]), is_json=True))
for name in ("candlewax.a", "urllib3"):
    for level in (10, 20, 30, 40):
        logging.getLogger(name).log(level, str(level))
"""


@pytest.mark.parametrize(
    ("level", "own", "others"),
    [
        ("DEBUG", [10, 20, 30, 40], [20, 30, 40]),
        ("INFO", [20, 30, 40], [20, 30, 40]),
        ("ERROR", [40], [40]),
    ],
)
def test_lines_below_the_level_are_left_out(level: str, own: list[int], others: list[int]) -> None:
    """Lines of libraries below info are always left out."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, level], capture_output=True, text=True, check=True
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    found = {
        name: [int(line["message"]) for line in lines if line["logger"] == name]
        for name in ("candlewax.a", "urllib3")
    }
    assert found == {"candlewax.a": own, "urllib3": others}
